"""Evaluate a mapping's SQL expressions where they can do no harm.

Two fences, each enough by itself: an expression is parsed, and only a scalar expression over the known columns with
functions of a fixed list passes; and it runs in an in-memory DuckDB without access to files, network or extensions,
with its configuration locked. Both together keep a mapping that somebody sent by mail from reading the disk.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    import duckdb

Resolve = Callable[[tuple[str, ...]], str]

SCALE = 9
"""Digits after the point that exact arithmetic keeps."""

_ALLOWED = """
    number divide nullif if coalesce concat concat_ws || lower upper trim ltrim rtrim replace substring substr left
    right length lpad rpad split_part string_split strpos position contains starts_with prefix suffix ends_with reverse
    repeat regexp_matches regexp_replace regexp_extract regexp_full_match translate strip_accents chr ascii md5 sha256
    hex format printf ~~ !~~ ~~* !~~* like_escape
    + - * / // % round floor ceil ceiling trunc abs sign mod greatest least round_even power pow sqrt
    strptime try_strptime strftime date_trunc date_part date_diff datediff date_add date_sub datepart make_date
    make_timestamp last_day year month day hour minute second to_timestamp epoch_ms timezone to_seconds to_minutes
    to_hours to_days to_weeks to_months to_years
    json_extract json_extract_string -> ->> json_array_length json_valid
    list_value list_extract list_contains array_extract map map_extract
"""
FUNCTIONS = frozenset(_ALLOWED.split())
NODES = frozenset(
    {"COLUMN_REF", "CONSTANT", "FUNCTION", "CAST", "COMPARISON", "CONJUNCTION", "OPERATOR", "CASE", "BETWEEN", "TYPE"}
)
INTERVALS = frozenset(name for name in FUNCTIONS if name.startswith("to_") and name.endswith("s"))
PLAIN = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "LAMBDA": "a lambda",
    "STAR": "*",
    "PARAMETER": "a parameter",
}

_WIDE = f"DECIMAL(38,{SCALE})"
_UNIT = 10**SCALE
_POWERS = "[" + ",".join(f"{10**i}::HUGEINT" for i in range(SCALE + 1)) + "]"
# A text that does not fit makes its own conversion error; error() would be volatile and unusable inside TRY. Digits are
# counted in the text, because a cast would round them away; an exponent could hide any number of them.
_TEXT = "trim(CAST(x AS VARCHAR))"
_NUMBER = (
    f"CREATE MACRO number(x) AS CASE WHEN regexp_matches({_TEXT}, '[eE_]') THEN CAST('no plain decimal: ' || {_TEXT} "
    f"AS {_WIDE}) WHEN instr({_TEXT}, '.') = 0 OR length(rtrim({_TEXT}, '0')) - instr({_TEXT}, '.') <= {SCALE} "
    f"THEN CAST(x AS {_WIDE}) "
    f"ELSE CAST('more than {SCALE} digits after the point: ' || {_TEXT} AS {_WIDE}) END"
)
# A quotient of decimals is a DOUBLE in DuckDB, so the division is done in whole numbers: half away from zero. The
# one-element list makes each operand be computed once, where a macro alone would repeat it at every mention.
_UNITS = f"CREATE MACRO units(x) AS CAST(number(x) * {_UNIT} AS HUGEINT)"
_DIVIDE = (
    "CREATE MACRO divide(a, b, digits) AS list_extract(list_transform([struct_pack(p := units(a), q := units(b))], "
    "lambda u: CASE WHEN u.q <> 0 THEN CAST((CASE WHEN (u.p < 0) <> (u.q < 0) THEN -1 ELSE 1 END) * ("
    f"(2 * abs(u.p) * list_extract({_POWERS}, digits + 1) + abs(u.q)) // (2 * abs(u.q))) "
    f"* list_extract({_POWERS}, {SCALE} - digits + 1) * 0.{'0' * (SCALE - 1)}1 AS {_WIDE}) END), 1)"
)


class Sandbox:
    """One locked in-memory DuckDB. Close it, or use it in a ``with``."""

    def __init__(self, memory: str = "2GB") -> None:
        import duckdb

        self.connection: duckdb.DuckDBPyConnection = duckdb.connect(
            ":memory:",
            config={
                "enable_external_access": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "python_enable_replacements": False,
                "memory_limit": memory,
            },
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(_NUMBER)
        self.connection.execute(_UNITS)
        self.connection.execute(_DIVIDE)
        self.connection.execute("SET lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def check(self, text: str, resolve: Resolve, what: str, exact: bool = True) -> tuple[str, str]:
        """Check one expression; returns its canonical SQL over the resolved names and its DuckDB type.

        ``resolve`` turns the parts of a column reference into the relation's column name and raises
        :class:`MappingError` for an unknown one. With ``exact``, an expression that computes in floating point anywhere
        is refused. ``what`` names the expression in errors.
        """
        statement = self._parse(text, what)
        node = statement["statements"][0]["node"]
        extras = ("where_clause", "having", "qualify", "sample")
        if (
            len(statement["statements"]) != 1
            or node.get("type") != "SELECT_NODE"
            or len(node["select_list"]) != 1
            or node["from_table"]["type"] != "EMPTY"
            or node["modifiers"]
            or node["group_expressions"]
            or node["cte_map"]["map"]
            or any(node[e] is not None for e in extras)
        ):
            raise MappingError(
                f"{what} is more than one scalar expression: {_short(text)}", "write one expression over columns"
            )
        node["select_list"][0]["alias"] = ""
        used: dict[str, None] = {}
        for part in _walk(node):
            self._check_node(part, what)
            if part["class"] == "COLUMN_REF":
                name = resolve(tuple(part["column_names"]))
                part["column_names"] = [name]
                used[name] = None
        sql = self._render(statement, what)
        relation = ", ".join(f"NULL::VARCHAR AS {quote(n)}" for n in used) or "NULL AS nothing"
        types = self._types(f"{sql} FROM (SELECT {relation})", what)
        if exact:
            self._refuse_floats(statement, relation, what)
        return f"({sql.removeprefix('SELECT ')})", types[0]

    def _parse(self, text: str, what: str) -> dict[str, Any]:
        row = self.connection.execute("SELECT json_serialize_sql(?)", [f"SELECT {text}\n"]).fetchone()
        assert row is not None
        parsed: dict[str, Any] = json.loads(row[0])
        if parsed["error"]:
            raise MappingError(f"{what} does not parse: {shorten(parsed['error_message'])}", f"correct {_short(text)}")
        return parsed

    def _check_node(self, node: dict[str, Any], what: str) -> None:
        kind = node["class"]
        if kind not in NODES:
            raise MappingError(
                f"{what} uses {PLAIN.get(kind, kind.lower())}, which a mapping may not",
                "write a scalar expression over columns",
            )
        if kind != "FUNCTION":
            return
        name = str(node["function_name"]).lower()
        path = node.get("qualified_name", {}).get("path", [name])
        if name not in FUNCTIONS or len(path) != 1 or node.get("schema") or node.get("catalog"):
            words = sorted(f for f in FUNCTIONS if f[0].isalpha())
            close = difflib.get_close_matches(name, words, n=3, cutoff=0.4) or [
                "number",
                "divide",
                "concat",
                "strptime",
            ]
            raise MappingError(
                f"{what} uses the function '{'.'.join(path)}', which a mapping may not",
                f"use one of the listed functions, for example {', '.join(close)}",
            )
        if node.get("distinct") or node.get("filter") is not None:
            raise MappingError(
                f"{what} uses DISTINCT or FILTER in a function", "write a scalar expression over columns"
            )

    def _refuse_floats(self, statement: dict[str, Any], relation: str, what: str) -> None:
        """Ask DuckDB for the type of every step, because a final cast would hide a detour through floating point."""
        node = statement["statements"][0]["node"]
        inside = {id(n) for call in _walk(node) if _name(call) in INTERVALS for n in _walk(call) if n is not call}
        steps = [n for n in _walk(node) if n["class"] in ("FUNCTION", "CAST") and id(n) not in inside]
        if not steps:
            return
        probe = json.loads(json.dumps(statement))
        probe["statements"][0]["node"]["select_list"] = [_renamed(s) for s in steps]
        types = self._types(f"{self._render(probe, what)} FROM (SELECT {relation})", what)
        for step, type_ in zip(steps, types, strict=True):
            if type_ in ("DOUBLE", "FLOAT"):
                step_name = _name(step) or "a cast"
                raise MappingError(
                    f"{what} computes in floating point ('{step_name}' gives {type_})",
                    "use number(x) for decimals and divide(a, b, digits) for quotients",
                )

    def _render(self, statement: dict[str, Any], what: str) -> str:
        row = self.connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(statement)]).fetchone()
        assert row is not None, what
        return str(row[0])

    def _types(self, sql: str, what: str) -> list[str]:
        import duckdb

        try:
            return [str(r[1]) for r in self.connection.execute(f"DESCRIBE {sql}").fetchall()]
        except duckdb.Error as error:
            raise MappingError(
                f"{what} is refused: {shorten(str(error))}", "columns are text; number(x) makes a decimal of one"
            ) from error


def quote(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def shorten(message: str) -> str:
    """The first sentence of an engine's message, at most 200 characters."""
    first = message.strip().splitlines()[0] if message.strip() else "no message"
    return first if len(first) <= 200 else first[:197] + "..."


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 60 else one_line[:57] + "..."


def _name(node: dict[str, Any]) -> str:
    return str(node.get("function_name", "")).lower()


def _renamed(node: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(node))
    copy["alias"] = ""
    return copy


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """All expression nodes below ``value``, parents first."""
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for child in value.values():
            yield from _walk(child)
    elif isinstance(value, list):
        for child in value:
            yield from _walk(child)
