"""Does every landed record end exactly once, where the generator's truth ledger says it must?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.oracle.records import count_landing

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    import duckdb

SHOWN = 5
_LEDGER = ("entity", "file", "row", "defect", "outcome", "reason", "column_name")
_REJECTED = ("source_table", "source_file", "source_row", "reason", "column_name")
_DEDUPLICATED = ("source_table", "source_file", "source_row", "kept_file", "kept_row")


def assert_balanced(
    truth: Path,
    landing: Path,
    accepted: Mapping[str, pa.Table],
    deduplicated: pa.Table,
    rejected: pa.Table,
    until: date | None = None,
) -> list[dict[str, Any]]:
    """Compare what happened to every landed record with ``<truth>/ledger.parquet`` and ``<truth>/counts.json``.

    ``accepted`` maps an entity ("orders") to its silver rows (``_source_file``, ``_source_row``); the other two are
    ``silver.deduplicated`` and ``silver.rejected``. Records are counted in the landing files themselves. Checked: each
    position ends exactly once; a ledger row ends with its outcome, reason and column; any other record was accepted; a
    duplicate was kept as an accepted row; the counts agree with counts.json per entity and reason.

    ``until`` limits all of it to the batches up to that day; counts.json then has to agree day by day only.
    Returns the balance per entity: entity, generated, accepted, deduplicated, rejected, reasons. Raises AssertionError
    with every imbalance, counted, and the first positions of each.
    """
    import duckdb

    with duckdb.connect() as connection:
        _load(connection, pq.read_table(truth / "ledger.parquet"), count_landing(landing), until)
        _load_actual(connection, accepted, deduplicated, rejected)
        problems = [problem for title, query in _CHECKS.items() for problem in _shown(connection, title, query)]
        balance = _balance(connection)
        counts = json.loads((truth / "counts.json").read_text(encoding="utf-8"))
        problems += _daily_problems(connection, counts, until)
    if until is None:
        problems += _counts_problems(counts, balance)
    if problems:
        raise AssertionError("\n  ".join(["the ledger does not balance:", *problems]))
    return balance


def _load(connection: duckdb.DuckDBPyConnection, ledger: pa.Table, files: pa.Table, until: date | None) -> None:
    last = until.isoformat() if until else "9999-12-31"
    connection.register("ledger_arrow", ledger.select(list(_LEDGER)))
    connection.register("files_arrow", files)
    connection.execute(f"CREATE TABLE files AS SELECT * FROM files_arrow WHERE day <= '{last}'")
    connection.execute(
        "CREATE TABLE ledger AS SELECT entity, file, row::BIGINT AS row, defect, outcome, reason, column_name "
        f"FROM ledger_arrow WHERE split_part(file, '/', 3) <= '{last}'"
    )
    connection.execute(
        "CREATE TABLE landed AS SELECT entity, file, unnest(range(1, records + 1)) AS row FROM files WHERE records > 0"
    )
    connection.execute(
        "CREATE TABLE due AS SELECT p.entity, p.file, p.row, coalesce(l.outcome, 'accepted') AS outcome, "
        "CASE WHEN l.outcome = 'rejected' THEN l.reason END AS reason, "
        "CASE WHEN l.outcome = 'rejected' THEN l.column_name END AS column_name, coalesce(l.defect, '-') AS defect "
        "FROM landed p LEFT JOIN ledger l USING (entity, file, row)"
    )


def _load_actual(
    connection: duckdb.DuckDBPyConnection, accepted: Mapping[str, pa.Table], deduplicated: pa.Table, rejected: pa.Table
) -> None:
    connection.execute(
        "CREATE TABLE happened (entity VARCHAR, file VARCHAR, row BIGINT, outcome VARCHAR, reason VARCHAR, "
        "column_name VARCHAR)"
    )
    for entity, table in accepted.items():
        connection.register("incoming", table.select(["_source_file", "_source_row"]))
        connection.execute(f"INSERT INTO happened SELECT '{entity}', *, 'accepted', NULL, NULL FROM incoming")
    connection.register("incoming", rejected.select(list(_REJECTED)))
    connection.execute(
        "INSERT INTO happened SELECT split_part(source_table, '.', -1), source_file, source_row, 'rejected', reason, "
        "column_name FROM incoming"
    )
    connection.register("incoming", deduplicated.select(list(_DEDUPLICATED)))
    connection.execute(
        "CREATE TABLE duplicates AS SELECT split_part(source_table, '.', -1) AS entity, source_file AS file, "
        "source_row AS row, kept_file, kept_row FROM incoming"
    )
    connection.execute("INSERT INTO happened SELECT entity, file, row, 'deduplicated', NULL, NULL FROM duplicates")


_CHECKS: Mapping[str, str] = {
    "truth: ledger rows at a position that no landing file has": "SELECT entity, file, row, defect FROM ledger "
    "ANTI JOIN landed USING (entity, file, row)",
    "truth: positions with more than one ledger row": "SELECT entity, file, row, list(defect) AS defects FROM ledger "
    "GROUP BY ALL HAVING count(*) > 1",
    "lost: landed records that ended nowhere": "SELECT entity, file, row, defect, outcome AS expected FROM due "
    "ANTI JOIN happened USING (entity, file, row)",
    "invented: rows of a position that never landed": "SELECT entity, file, row, outcome AS actual FROM happened "
    "ANTI JOIN landed USING (entity, file, row)",
    "counted twice: records that ended more than once": "SELECT entity, file, row, list(outcome) AS actual "
    "FROM happened GROUP BY ALL HAVING count(*) > 1",
    "wrong outcome": "SELECT entity, file, row, defect, concat_ws(' ', h.outcome, h.reason, h.column_name) AS actual, "
    "concat_ws(' ', d.outcome, d.reason, d.column_name) AS expected "
    "FROM due d JOIN happened h USING (entity, file, row) WHERE h.outcome <> d.outcome",
    "wrong reason or column of a rejection": "SELECT entity, file, row, defect, "
    "concat_ws(' ', h.reason, h.column_name) AS actual, concat_ws(' ', d.reason, d.column_name) AS expected "
    "FROM due d JOIN happened h USING (entity, file, row) WHERE h.outcome = 'rejected' AND d.outcome = 'rejected' "
    "AND (h.reason IS DISTINCT FROM d.reason OR h.column_name IS DISTINCT FROM d.column_name)",
    "duplicates whose kept record was not accepted": "SELECT entity, file, row, kept_file, kept_row FROM duplicates d "
    "WHERE NOT EXISTS (FROM happened h WHERE h.outcome = 'accepted' AND h.entity = d.entity AND h.file = d.kept_file "
    "AND h.row = d.kept_row)",
}


def _shown(connection: duckdb.DuckDBPyConnection, title: str, query: str) -> list[str]:
    by_entity = connection.execute(f"SELECT entity, count(*) FROM ({query}) GROUP BY entity ORDER BY entity").fetchall()
    if not by_entity:
        return []
    relation = connection.execute(f"SELECT * FROM ({query}) ORDER BY entity, file, row LIMIT {SHOWN}")
    names = [column[0] for column in relation.description or []]
    lines = [f"{title}: {', '.join(f'{entity} {count}' for entity, count in by_entity)}"]
    lines += [
        "    " + ", ".join(f"{name}={value}" for name, value in zip(names, row, strict=True))
        for row in relation.fetchall()
    ]
    return lines


def _balance(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    landed = dict(connection.execute("SELECT entity, sum(records)::BIGINT FROM files GROUP BY entity").fetchall())
    ended = connection.execute("SELECT entity, outcome, reason, count(*) FROM happened GROUP BY ALL").fetchall()
    balance: dict[str, dict[str, Any]] = {}
    for entity in sorted({*landed, *(row[0] for row in ended)}):
        row = {"entity": entity, "generated": landed.get(entity, 0), "accepted": 0, "deduplicated": 0, "rejected": 0}
        balance[entity] = {**row, "reasons": {}}
    for entity, outcome, reason, count in ended:
        balance[entity][outcome] += count
        if outcome == "rejected":
            balance[entity]["reasons"][str(reason)] = count
    return list(balance.values())


def _daily_problems(connection: duckdb.DuckDBPyConnection, counts: Mapping[str, Any], until: date | None) -> list[str]:
    """How the days depart from ``counts[entity]["days"][day]``: {generated, accepted, deduplicated, rejected}."""
    actual: dict[tuple[str, str], dict[str, int]] = {}
    for entity, day, records in connection.execute(
        "SELECT entity, day, sum(records)::BIGINT FROM files GROUP BY ALL"
    ).fetchall():
        actual[entity, day] = {"generated": records, "accepted": 0, "deduplicated": 0, "rejected": 0}
    for entity, day, outcome, count in connection.execute(
        "SELECT entity, split_part(file, '/', 3), outcome, count(*) FROM happened GROUP BY ALL"
    ).fetchall():
        if (entity, day) in actual:  # a position that never landed has been told already
            actual[entity, day][outcome] = count
    stated = {
        (entity, day): numbers
        for entity, row in counts.items()
        for day, numbers in row.get("days", {}).items()
        if until is None or day <= until.isoformat()
    }
    differing = sorted(key for key in {*stated, *actual} if stated.get(key) != actual.get(key))
    shown = [f"    {' '.join(key)}: {actual.get(key)}, counts.json {stated.get(key)}" for key in differing[:SHOWN]]
    return [f"{len(differing)} days differ from counts.json", *shown] if differing else []


def _counts_problems(counts: Mapping[str, Any], balance: list[dict[str, Any]]) -> list[str]:
    """How the balance departs from ``counts[entity]``: {generated, accepted, deduplicated, rejected: {reason: n}}."""
    problems = [f"counts.json does not know {row['entity']}" for row in balance if row["entity"] not in counts]
    actual_rows = {row["entity"]: row for row in balance}
    nothing = {"generated": 0, "accepted": 0, "deduplicated": 0, "rejected": 0, "reasons": {}}
    for entity, row in counts.items():
        actual = actual_rows.get(entity, nothing)
        reasons = {reason: count for reason, count in row["rejected"].items() if count}
        problems += [
            f"{entity}: {actual[column]} {column}, counts.json says {row[column]}"
            for column in ("generated", "accepted", "deduplicated")
            if actual[column] != row[column]
        ]
        problems += [
            f"{entity}: {actual['reasons'].get(reason, 0)} rejected as {reason}, "
            f"counts.json says {reasons.get(reason, 0)}"
            for reason in sorted({*reasons, *actual["reasons"]})
            if reasons.get(reason, 0) != actual["reasons"].get(reason, 0)
        ]
        if actual["generated"] != actual["accepted"] + actual["deduplicated"] + actual["rejected"]:
            problems.append(
                f"{entity}: {actual['generated']} generated is not {actual['accepted']} accepted "
                f"+ {actual['deduplicated']} deduplicated + {actual['rejected']} rejected"
            )
    return problems
