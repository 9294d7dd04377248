"""Run a mapping over a file, batch by batch: foreign records in, records of the contract's columns out.

Each batch goes through the sandbox as one query, so memory stays bounded, the order of records is kept, and an error
can be traced to its record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from c360.errors import LandingError
from c360.ingest.mapping_names import Names
from c360.ingest.mapping_sandbox import Sandbox, literal, quote, shorten
from c360.ingest.mapping_source import RECORD, Malformed, open_source
from c360.ingest.mapping_sql import UNREADABLE, ColumnCompiler
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Map
    from pathlib import Path
    from typing import Any, Self

    from c360.ingest.mapping_model import LookupSpec, Mapping
    from c360.ingest.mapping_target import Target

MISS = " has no match"


@dataclass
class Tally:
    """What became of the records so far; ``read = written + filtered + malformed``."""

    read: int = 0
    written: int = 0
    filtered: int = 0
    malformed: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    unmatched: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Converted:
    """One batch of target records (text columns, then ``_record``) and the records that could not be split."""

    table: pa.Table
    malformed: tuple[Malformed, ...]


class Conversion:
    """A mapping bound to its files and compiled. Use it in a ``with``; run it any number of times.

    Raises :class:`MappingError` for columns, look-ups or expressions that do not fit the files.
    """

    def __init__(self, mapping: Mapping, target: Target, path: Path, lookups: Map[str, Path]) -> None:
        self.mapping, self.target = mapping, target
        self.source = open_source(path, mapping.source)
        self._lookups = {name: open_source(lookups[name], spec.source) for name, spec in mapping.lookups.items()}
        self._names = Names(self.source, self._lookups)
        self._sandbox = Sandbox()
        try:
            self._compile()
        except BaseException:
            self._sandbox.connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.connection.close()

    @property
    def unused(self) -> tuple[str, ...]:
        """Source columns that the mapping does not read."""
        return tuple(c for c in self.source.columns if c not in self._names.wanted[""])

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Target columns that stay null."""
        return tuple(f for f in self.target.fields if f not in self.mapping.columns)

    def run(self, tally: Tally, limit: int | None = None) -> Iterator[Converted]:
        """Convert all records, or the first ``limit``; counts into ``tally``."""
        left = limit
        for batch in self.source.batches(self._wanted):
            table, malformed = batch.table, batch.malformed
            if left is not None:
                table, malformed = _first(table, malformed, left)
                left -= table.num_rows
            out = self._query(table.rename_columns([*map(self._names.internal, self._wanted), RECORD]))
            for column in self._marking:
                bad = _count(pc.starts_with(out.column(column), UNREADABLE))
                if bad:
                    tally.unreadable[column] = tally.unreadable.get(column, 0) + bad
            for name in self._lookups:
                missed = _count(out.column(name + MISS))
                if missed:
                    tally.unmatched[name] = tally.unmatched.get(name, 0) + missed
            tally.read += table.num_rows + len(malformed)
            tally.written += out.num_rows
            tally.filtered += table.num_rows - out.num_rows
            tally.malformed += len(malformed)
            yield Converted(out.select([*self.target.fields, RECORD]), malformed)
            if left == 0:
                return

    def _compile(self) -> None:
        compiler = ColumnCompiler(self._sandbox, self.mapping.source, self._names.resolve)
        types = dict(zip(self.target.fields, (c.type for c in self.target.columns), strict=True))
        selected: list[str] = []
        marking: list[str] = []
        for name in self.target.fields:
            spec = self.mapping.columns.get(name)
            sql, marks = ("NULL", False) if spec is None else compiler.compile(name, types[name], spec)
            selected.append(f"CAST({sql} AS VARCHAR) AS {quote(name)}")
            marking += [name] if marks else []
        condition = "TRUE"
        if self.mapping.where is not None:
            condition, type_ = self._sandbox.check(self.mapping.where, self._names.resolve, "where", exact=False)
            if type_ != "BOOLEAN":
                raise MappingError(f"where gives {type_}, not true or false", "compare something, as in status <> 'X'")
        keys = {name: self._keys(name, spec) for name, spec in self.mapping.lookups.items()}
        self._load_lookups({name: theirs for name, (_, theirs) in keys.items()})
        self._marking = tuple(marking)
        self._wanted = tuple(self._names.wanted[""])
        nulls = ", ".join(literal(n) for n in self.mapping.source.nulls)
        columns = [self._names.internal(w) for w in self._wanted]
        clean = [
            f"CASE WHEN trim({quote(c)}) IN ({nulls}) THEN NULL ELSE {quote(c)} END" if nulls else quote(c)
            for c in columns
        ]
        first = ", ".join([RECORD, *(f"{sql} AS {quote(c)}" for sql, c in zip(clean, columns, strict=True))])
        steps = [f"step0 AS (SELECT {first} FROM batch)"]
        for i, (name, (ours, theirs)) in enumerate(keys.items()):
            steps.append(f"step{i + 1} AS ({self._join(f'step{i}', name, ours, theirs)})")
        misses = [quote(name + MISS) for name in self._lookups]
        self._sql = (
            f"WITH {', '.join(steps)} SELECT {', '.join([*selected, RECORD, *misses])} "
            f"FROM step{len(keys)} WHERE {condition} ORDER BY {RECORD}"
        )

    def _keys(self, name: str, spec: LookupSpec) -> tuple[list[str], list[str]]:
        ours = [self._names.resolve((column,), before=name) for column in spec.on]
        return ours, [self._names.lookup(name, column) for column in spec.on.values()]

    def _join(self, before: str, name: str, ours: list[str], theirs: list[str]) -> str:
        picked = [
            f"found.{quote(c)}" for c in map(self._names.internal, (f"{name}.{c}" for c in self._names.wanted[name]))
        ]
        asked = " AND ".join(f"s.{quote(o)} IS NOT NULL" for o in ours)
        match = " AND ".join(f"trim(s.{quote(o)}) = found.{quote(t)}" for o, t in zip(ours, theirs, strict=True))
        return (
            f"SELECT s.*, {', '.join(picked)}, (found.hit IS NULL AND {asked}) AS {quote(name + MISS)} "
            f"FROM {before} s LEFT JOIN {quote('lookup ' + name)} found ON {match}"
        )

    def _load_lookups(self, key_columns: Map[str, list[str]]) -> None:
        for name, source in self._lookups.items():
            wanted = tuple(self._names.wanted[name])
            nulls = ", ".join(literal(n) for n in self.mapping.lookups[name].source.nulls) or "''"
            columns = [self._names.internal(f"{name}.{w}") for w in wanted]
            table = quote(f"lookup {name}")
            clean = ", ".join(
                f"CASE WHEN trim({quote(c)}) IN ({nulls}) THEN NULL ELSE trim({quote(c)}) END AS {quote(c)}"
                for c in columns
            )
            schema = ", ".join(f"{quote(c)} VARCHAR" for c in columns)
            connection = self._sandbox.connection
            connection.execute(f"CREATE TABLE {table} ({schema}, hit BOOLEAN)")
            for batch in source.batches(wanted):
                if batch.malformed:
                    first = batch.malformed[0]
                    raise LandingError(
                        f"Record {first.record} of the look-up file {source.path.name} cannot be split: {first.why}",
                        f"correct `lookups: {name}: source:` or the file",
                    )
                connection.register("batch", batch.table.select(list(wanted)).rename_columns(columns))
                connection.execute(f"INSERT INTO {table} SELECT DISTINCT {clean}, TRUE FROM batch")
            keys = ", ".join(quote(c) for c in key_columns[name])
            connection.execute(f"CREATE TABLE distinct_rows AS SELECT DISTINCT * FROM {table}")
            twice = connection.execute(
                f"SELECT {keys} FROM distinct_rows GROUP BY {keys} HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
            ).fetchone()
            connection.execute(f"DROP TABLE {table}; ALTER TABLE distinct_rows RENAME TO {table}")
            if twice and None not in twice:
                raise MappingError(
                    f"The look-up '{name}' has the key {', '.join(map(repr, twice))} twice in {source.path.name}",
                    "use a key that is unique there",
                )

    def _query(self, table: pa.Table) -> pa.Table:
        import duckdb

        try:
            return self._execute(table)
        except duckdb.Error as error:
            record, last = self._first_failing(table), error
            where = self.source.places([record]).get(record, f"record {record}")
            raise MappingError(
                f"{self.source.path.name} {where}: an expression fails: {shorten(str(last))}",
                "make it bear that value, for example with try_cast or try(...) and coalesce",
            ) from error

    def _execute(self, table: pa.Table) -> pa.Table:
        self._sandbox.connection.register("batch", table)
        result: pa.Table = self._sandbox.connection.sql(self._sql).to_arrow_table()
        return result

    def _first_failing(self, table: pa.Table) -> int:
        import duckdb

        while table.num_rows > 1:
            half = table.slice(0, table.num_rows // 2)
            try:
                self._execute(half)
                table = table.slice(table.num_rows // 2)
            except duckdb.Error:
                table = half
        return int(table.column(RECORD)[0].as_py())


def _count(flags: pa.ChunkedArray[Any] | pa.Array[Any]) -> int:
    """How many are true; null is not."""
    return int(pc.sum(flags.cast(pa.int64())).as_py() or 0)


def _first(table: pa.Table, malformed: tuple[Malformed, ...], count: int) -> tuple[pa.Table, tuple[Malformed, ...]]:
    """The first ``count`` rows, and the malformed records that come before the last of them."""
    if count > table.num_rows:
        return table, malformed
    table = table.slice(0, count)
    last = table.column(RECORD)[-1].as_py() if count else 0
    return table, tuple(m for m in malformed if m.record < last)
