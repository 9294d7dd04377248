"""Change messages to rows of the history: all at once, one by one, and by DuckDB as a peer.

    python -m tests.bench.bench_shop_decode --scale 0.1

The messages are those of the light path, of one company. The peer takes the same columns out of the same envelopes with
DuckDB's JSON functions on one thread, decimals as text: it checks nothing and keeps no unknown field. CPU seconds are
user + system of one process, after a first run of everything on a tenth.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from c360.cdc import decode as decoding
from c360.cdc.decode import decode
from c360.cdc.schema import shop_tables
from mock_data.company import company_of
from mock_data.shop_changes import transactions
from mock_data.shop_light import messages
from tests.bench.meter import Meter
from tests.unit.cdc.shop_messages import bronze_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from c360.cdc.schema import ShopTable


def made(scale: float) -> dict[str, pa.Table]:
    """Messages by table."""
    told: dict[str, list[tuple[bytes | None, bytes | None]]] = defaultdict(list)
    position = 1
    for transaction in transactions(company_of(scale, 1, date(2025, 1, 1), 365)):
        for topic, key, value in messages(transaction, position):
            told[topic.rpartition(".")[2]].append((key, value))
        position += len(transaction.changes)
    return {table: bronze_rows(table, rows) for table, rows in told.items()}


def at_once(table: ShopTable, rows: pa.Table) -> int:
    """As the product does."""
    return decode(table, rows).history.num_rows


def one_by_one(table: ShopTable, rows: pa.Table) -> int:
    """As the product does with unusual messages."""
    whole = decoding._Batch.take
    decoding._Batch.take = lambda *_: False  # type: ignore[method-assign]
    try:
        return decode(table, rows).history.num_rows
    finally:
        decoding._Batch.take = whole  # type: ignore[method-assign]


def by_duckdb(table: ShopTable, rows: pa.Table) -> int:
    """The same columns."""
    columns = ", ".join(f"json_extract_string(image, '$.{column.name}') AS {column.name}" for column in table.columns)
    with duckdb.connect(config={"threads": 1}) as session:
        session.register("messages", rows)
        session.execute(
            f"CREATE TABLE made AS SELECT {columns}, op, lsn, transaction_id, committed FROM (SELECT"
            " coalesce(nullif(json_extract(told, '$.after'), 'null'), json_extract(told, '$.before')) AS image,"
            " json_extract_string(told, '$.op') AS op, json_extract(told, '$.source.lsn')::BIGINT AS lsn,"
            " json_extract(told, '$.source.txId')::BIGINT AS transaction_id,"
            " json_extract(told, '$.source.ts_us')::BIGINT AS committed"
            " FROM (SELECT decode(value)::JSON AS told FROM messages WHERE value IS NOT NULL))"
        )
        return len(session.execute("SELECT lsn FROM made").fetchall())


def main() -> None:
    """Print a line for each way and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1)
    found = made(parser.parse_args().scale)
    ways: dict[str, Callable[[ShopTable, pa.Table], int]] = {
        "at once": at_once,
        "one by one": one_by_one,
        "DuckDB": by_duckdb,
    }
    for name, way in ways.items():
        total_cpu = total_wall = 0.0
        total = 0
        for table, rows in sorted(found.items()):
            way(shop_tables()[table], rows.slice(0, rows.num_rows // 10))
            with Meter() as meter:
                way(shop_tables()[table], rows)
            cost = meter.cost
            total += rows.num_rows
            total_cpu, total_wall = total_cpu + cost.cpu, total_wall + cost.wall
            print(f"{name}: {table}: {rows.num_rows:,} messages, {cost.cpu / rows.num_rows * 1e6:.2f} CPU us/message")
        print(
            f"{name}: {total:,} messages, {total_cpu / total * 1e6:.2f} CPU us/message, "
            f"{total / total_cpu:,.0f} messages per CPU second, {total / total_wall:,.0f} a second"
        )


if __name__ == "__main__":
    main()
