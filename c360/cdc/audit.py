"""The shop's silver tables judged by DuckDB: by other code than made them, and by the messages themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from c360.cdc.connector import topic
from c360.cdc.contracts import BRONZE, current_name, history_name
from c360.cdc.schema import shop_tables

if TYPE_CHECKING:
    import pyarrow as pa

    from c360.lakehouse import Lakehouse

DEAD = "silver.dead_letters"

_LAST = """
WITH emptied AS (SELECT coalesce(max(lsn), -9223372036854775808) AS lsn FROM history WHERE op = 't'),
ranked AS (
    SELECT history.*, row_number() OVER (
        PARTITION BY {key} ORDER BY history.lsn DESC, inferred ASC, kafka_offset DESC
    ) AS newest
    FROM history, emptied WHERE history.lsn > emptied.lsn AND op <> 't'
),
expected AS (SELECT {columns} FROM ranked WHERE newest = 1 AND op <> 'd'),
present AS (SELECT {columns} FROM current)
SELECT
    (SELECT count(*) FROM expected) AS expected,
    (SELECT count(*) FROM present) AS present,
    (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM present)) AS missing,
    (SELECT count(*) FROM (SELECT * FROM present EXCEPT ALL SELECT * FROM expected)) AS surplus,
    (SELECT count(*) FROM (SELECT 1 FROM present GROUP BY {key} HAVING count(*) > 1)) AS repeated_keys
"""

_ACCOUNT = """
WITH received AS (
    SELECT kafka_partition, kafka_offset, any_value(value) AS value FROM messages GROUP BY ALL
),
placed AS (
    SELECT received.*,
        EXISTS (FROM history h WHERE NOT h.inferred
            AND h.kafka_partition = received.kafka_partition AND h.kafka_offset = received.kafka_offset) AS kept,
        EXISTS (FROM dead d
            WHERE d.kafka_partition = received.kafka_partition AND d.kafka_offset = received.kafka_offset) AS dead
    FROM received
),
left_over AS (
    SELECT *, TRY_CAST(TRY(decode(value)) AS JSON) AS told FROM placed WHERE value IS NOT NULL AND NOT kept AND NOT dead
),
unwrapped AS (SELECT *, coalesce(json_extract(told, '$.payload'), told) AS envelope FROM left_over),
named AS (
    SELECT *, json_extract_string(envelope, '$.op') AS op,
        TRY_CAST(json_extract_string(envelope, '$.source.lsn') AS BIGINT) AS lsn,
        json_extract(envelope, '$.source') IS NULL AND json_extract(envelope, '$.ts_ms') IS NOT NULL AS heartbeat
    FROM unwrapped
),
judged AS (
    SELECT *, EXISTS (FROM history h WHERE h.lsn = named.lsn AND h.op = named.op AND {same_key}) AS repeated,
        op = 'm' OR (op IS NULL AND heartbeat) AS silent
    FROM named
)
SELECT
    (SELECT count(*) FROM placed) AS read,
    (SELECT count(*) FROM placed WHERE kept) AS history,
    (SELECT count(*) FROM placed WHERE value IS NULL AND NOT dead) AS tombstones,
    (SELECT count(*) FROM placed WHERE dead AND NOT kept) AS dead,
    (SELECT count(*) FROM judged WHERE repeated) AS repeated,
    (SELECT count(*) FROM judged WHERE coalesce(silent, FALSE) AND NOT repeated) AS silent,
    (SELECT count(*) FROM judged WHERE NOT repeated AND NOT coalesce(silent, FALSE)) AS unaccounted
"""


@dataclass(frozen=True)
class Finding:
    """Figures by name, and whether they are as they must be."""

    passed: bool
    figures: dict[str, int]


def last_of_history(lake: Lakehouse, name: str) -> Finding:
    """The rows of the table ``name`` against the last state of the history that they were made of, in all columns."""
    table, current, history = shop_tables()[name], current_name(name), history_name(name)
    last = lake.last_commit(current)
    if last is None or history not in last.sources:
        return Finding(passed=True, figures={"expected": 0, "present": 0})
    rows = lake.read(current, snapshot_id=last.snapshot_id)
    sql = _LAST.format(key=_names(table.key), columns=_names(rows.column_names))
    found = _ask(sql, current=rows, history=lake.read(history, snapshot_id=last.sources[history]))
    wrong = ("missing", "surplus", "repeated_keys")
    return Finding(passed=not any(found[word] for word in wrong), figures=found)


def account(lake: Lakehouse, name: str) -> Finding:
    """Every message about the table ``name`` that bronze holds, by its position: what became of it."""
    table, history = shop_tables()[name], history_name(name)
    last = lake.last_commit(history)
    if last is None or BRONZE not in last.sources:
        return Finding(passed=True, figures={"read": 0})
    about = f"topic = '{topic(name)}'"
    position = ["kafka_partition", "kafka_offset"]
    messages = lake.read(BRONZE, [*position, "value"], about, snapshot_id=last.sources[BRONZE])
    rows = lake.read(history, [*table.key, "lsn", "op", "inferred", *position], snapshot_id=last.snapshot_id)
    dead = lake.read(DEAD, position, f"source_{about}")
    told = "coalesce(json_extract_string(envelope, '$.after.{0}'), json_extract_string(envelope, '$.before.{0}'))"
    same = " AND ".join(
        f'CAST(h."{column}" AS VARCHAR) IS NOT DISTINCT FROM {told.format(column)}' for column in table.key
    )
    found = _ask(_ACCOUNT.format(same_key=same), messages=messages, history=rows, dead=dead)
    return Finding(passed=found["unaccounted"] == 0, figures=found)


def unknown_fields(lake: Lakehouse, name: str) -> dict[str, int]:
    """Fields of the messages that the contract of the table ``name`` does not know, with how many rows have them."""
    rows = lake.read(history_name(name), ["more"], "more is not null")
    if not rows.num_rows:
        return {}
    import duckdb

    with duckdb.connect() as session:
        session.register("rows", rows)
        found = session.execute(
            "SELECT field, count(*) FROM (SELECT unnest(json_keys(more)) AS field FROM rows) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return {str(field): int(count) for field, count in found}


def _ask(sql: str, **tables: pa.Table) -> dict[str, int]:
    import duckdb

    with duckdb.connect() as session:
        for name, rows in tables.items():
            session.register(name, rows)
        answer: Any = session.execute(sql)
        names = [column[0] for column in answer.description]
        return {word: int(number) for word, number in zip(names, answer.fetchone(), strict=True)}


def _names(columns: Any) -> str:
    return ", ".join(f'"{column}"' for column in columns)
