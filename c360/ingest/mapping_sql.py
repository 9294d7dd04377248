"""From a column's specification to SQL text that yields text: what cannot be read is marked, never dropped.

A value that a step cannot read (no number, no date of the stated formats) becomes ``?`` and the text as received, so
that silver rejects it with the original in sight.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from string import Formatter

from c360.ingest.mapping_model import ColumnSpec, SourceSpec, as_number, is_numeric
from c360.ingest.mapping_sandbox import Sandbox, literal, quote
from c360.ingest.mapping_yaml import MappingError

UNREADABLE = "?"
ISO_DAY = r"\d{4}-\d{2}-\d{2}"
ISO_TIME = rf"{ISO_DAY}[T ]\d{{2}}:\d{{2}}(:\d{{2}}([.,]\d{{1,9}})?)?"
OFFSET = r"(Z|[+-]\d{2}(:?\d{2})?)"
EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
UTC_TEXT = "%Y-%m-%dT%H:%M:%S.%fZ"

Resolve = Callable[[tuple[str, ...]], str]


class ColumnCompiler:
    """Compiles the columns of one mapping; ``resolve`` and ``sandbox`` check what they refer to."""

    def __init__(self, sandbox: Sandbox, source: SourceSpec, resolve: Resolve) -> None:
        self._sandbox, self._source, self._resolve = sandbox, source, resolve

    def compile(self, name: str, type_: str, spec: ColumnSpec) -> tuple[str, bool]:
        """(SQL text, whether it marks unreadable values) for one target column of the contract type ``type_``.

        Raises :class:`MappingError` naming the column.
        """
        what = f"column '{name}'"
        sql = self._base(spec, type_, what)
        marks = False
        if spec.map is not None:
            sql = self._mapped(sql, spec)
        elif self._reads_times(spec, type_):
            sql, marks = self._times(sql, spec, type_, what), True
        elif self._reads_numbers(spec, type_):
            sql, marks = self._numbers(sql, spec), True
        if spec.default is not None:
            sql = f"coalesce({sql}, {literal(spec.default)})"
        return sql, marks

    def _base(self, spec: ColumnSpec, type_: str, what: str) -> str:
        if spec.value is not None:
            return literal(spec.value)
        if spec.from_ is not None:
            return quote(self._resolve((spec.from_,)))
        if spec.key is not None:
            return self._key(spec.key, what)
        assert spec.expr is not None
        sql, duck_type = self._sandbox.check(spec.expr, self._resolve, what, exact=type_ != "double")
        return as_text(sql, duck_type)

    def _key(self, template: str, what: str) -> str:
        parts: list[str] = []
        try:
            for text, field, format_, conversion in Formatter().parse(template):
                if text:
                    parts.append(literal(text))
                if field is None:
                    continue
                if not field or format_ or conversion:
                    raise ValueError(f"'{{{field}}}' must be a column name alone")
                parts.append(f"trim({quote(self._resolve((field,)))})")
        except ValueError as error:
            raise MappingError(
                f"{what}: the key template is wrong: {error}", 'write it like "{order}-{line}"'
            ) from error
        return " || ".join(parts) if parts else "''"

    def _mapped(self, sql: str, spec: ColumnSpec) -> str:
        assert spec.map is not None
        if not spec.map:
            return sql
        cases = " ".join(
            f"WHEN {literal(k.strip())} THEN {'NULL' if v is None else literal(v)}" for k, v in spec.map.items()
        )
        other = (
            sql if spec.otherwise is None else f"CASE WHEN {sql} IS NULL THEN NULL ELSE {literal(spec.otherwise)} END"
        )
        return f"CASE trim({sql}) {cases} ELSE {other} END"

    def _reads_times(self, spec: ColumnSpec, type_: str) -> bool:
        if spec.value is not None or spec.key is not None:
            return False
        zoned = spec.time_zone is not None or self._source.time_zone is not None
        return bool(spec.formats) or (zoned and type_ == "timestamp")

    def _reads_numbers(self, spec: ColumnSpec, type_: str) -> bool:
        if spec.computes:
            return True
        foreign = self._source.decimal != "." or self._source.thousands is not None
        return foreign and spec.from_ is not None and is_numeric(type_)

    def _times(self, sql: str, spec: ColumnSpec, type_: str, what: str) -> str:
        zone = spec.time_zone or self._source.time_zone or "UTC"
        text = f"trim({sql})"
        tries = [self._time(text, f, zone, type_, what) for f in spec.formats or ("iso",)]
        instant = tries[0] if len(tries) == 1 else f"coalesce({', '.join(tries)})"
        shown = "%Y-%m-%d" if type_ == "date" else UTC_TEXT
        return _marked(f"strftime({instant}, {literal(shown)})", sql)

    def _time(self, text: str, format_: str, zone: str, type_: str, what: str) -> str:
        """A naive TIMESTAMP in UTC, or null. A day without a time of day is not shifted by the zone."""
        if format_ == "iso":
            zoned = f"timezone('UTC', TRY_CAST({text} AS TIMESTAMPTZ))"
            local = _to_utc(f"TRY_CAST({text} AS TIMESTAMP)", zone, type_)
            return (
                f"CASE WHEN regexp_full_match({text}, '{ISO_TIME}{OFFSET}') THEN {zoned} "
                f"WHEN regexp_full_match({text}, '{ISO_TIME}') THEN {local} "
                f"WHEN regexp_full_match({text}, '{ISO_DAY}') THEN TRY_CAST({text} AS TIMESTAMP) END"
            )
        if format_ in EPOCHS:
            return f"TRY(make_timestamp(CAST(number({text}) * {EPOCHS[format_]} AS BIGINT)))"
        self._check_format(format_, what)
        parsed = f"try_strptime({text}, {literal(format_)})"
        if "%z" in format_ or "%Z" in format_:
            return f"timezone('UTC', {parsed})"
        return _to_utc(parsed, zone, type_) if re.search(r"%-?[HIcX]", format_) else parsed

    def _check_format(self, format_: str, what: str) -> None:
        import duckdb

        if "%" not in format_:
            raise MappingError(
                f"{what}: '{format_}' is no date format", 'write it like "%d.%m.%Y %H:%M", or iso, epoch_s, epoch_ms'
            )
        try:
            self._sandbox.connection.execute(f"SELECT try_strptime('x', {literal(format_)})").fetchall()
        except duckdb.Error as error:
            raise MappingError(
                f"{what}: '{format_}' is no date format ({str(error).splitlines()[0]})", "correct it"
            ) from error

    def _numbers(self, sql: str, spec: ColumnSpec) -> str:
        text = f"translate(trim({sql}), {literal(spec.strip)}, '')" if spec.strip else f"trim({sql})"
        number = self._normal(text, spec)
        if spec.multiply is not None:
            number = f"number({number}) * {self._factor(spec.multiply, spec)}"
        if spec.divide is not None:
            number = f"divide({number}, {self._factor(spec.divide, spec)}, {spec.round})"
        elif spec.round is not None:
            number = f"round({number if spec.multiply else f'number({number})'}, {spec.round})"
        if spec.multiply is None and spec.divide is None and spec.round is None:
            return _marked(number, sql)
        return _marked(as_text(f"TRY({number})", "DECIMAL"), sql)

    def _normal(self, text: str, spec: ColumnSpec) -> str:
        """The number with a point and without groups, or null if the text is not written that way."""
        point = spec.decimal or self._source.decimal
        group = spec.thousands or self._source.thousands
        d = re.escape(point)
        if group is None:
            exponent = r"([eE][+-]?\d+)?" if point == "." else ""
            pattern, plain = rf"[+-]?(\d+({d}\d*)?|{d}\d+){exponent}", text
        else:
            g = {" ": "[ \u00a0\u202f]", "'": "['\u2019]"}.get(group, re.escape(group))
            pattern = rf"[+-]?(\d{{1,3}}({g}\d{{3}})+|\d+)({d}\d*)?"
            plain = f"regexp_replace({text}, {literal(g)}, '', 'g')"
        if point != ".":
            plain = f"replace({plain}, {literal(point)}, '.')"
        return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {plain} END"

    def _factor(self, factor: str, spec: ColumnSpec) -> str:
        number = as_number(factor)
        if number is not None:
            return f"number({literal(format(number, 'f'))})"
        return f"number({self._normal(f'trim({quote(self._resolve((factor,)))})', spec)})"


def as_text(sql: str, duck_type: str) -> str:
    """SQL that prints a value of the DuckDB type as the landing text: plain decimals, ISO times, true and false."""
    kind = duck_type.partition("(")[0]
    if kind == "VARCHAR":
        return sql
    if kind == "DECIMAL":
        return rf"rtrim(regexp_replace(CAST({sql} AS VARCHAR), '(\.[0-9]*?)0+$', '\1'), '.')"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"strftime(timezone('UTC', {sql}), {literal(UTC_TEXT)})"
    if kind.startswith("TIMESTAMP"):
        return f"strftime(CAST({sql} AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%f')"
    if duck_type.endswith("]") or kind in ("STRUCT", "MAP"):
        return f"CAST(to_json({sql}) AS VARCHAR)"
    return f"CAST({sql} AS VARCHAR)"


def _marked(result: str, received: str) -> str:
    return f"CASE WHEN {received} IS NOT NULL THEN coalesce({result}, '{UNREADABLE}' || {received}) END"


def _to_utc(naive: str, zone: str, type_: str) -> str:
    if zone == "UTC" or type_ == "date":
        return naive
    return f"timezone('UTC', timezone({literal(zone)}, {naive}))"
