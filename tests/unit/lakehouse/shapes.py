"""Contracts and rows that the lakehouse tests write."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from c360.contracts import Column, Contract, PartitionBy, to_arrow
from c360.lakehouse import Commit, Lakehouse


def contract(
    columns: tuple[Column, ...] | None = None,
    *,
    name: str = "silver.things",
    partitioning: tuple[PartitionBy, ...] = (),
    version: str = "1.0.0",
    **fields: Any,
) -> Contract:
    layer, table = name.split(".")
    return Contract(
        name=name,
        layer=layer,  # type: ignore[arg-type]
        table=table,
        version=version,
        domain="tests",
        owner="tests",
        description="a table of the tests",
        columns=columns or (Column("id", "long", required=True), Column("name", "string"), Column("day", "date")),
        primary_key=fields.pop("primary_key", ("id",)),
        partitioning=partitioning,
        **fields,
    )


def things(ids: range | list[int], tag: str = "n", of: Contract | None = None) -> pa.Table:
    """Rows (id, name, day) of :func:`contract`; the day moves with the id."""
    return pa.table(
        {
            "id": list(ids),
            "name": [f"{tag}{i}" for i in ids],
            "day": [date(2025, 1, 1) + timedelta(days=i % 40) for i in ids],
        },
        schema=to_arrow(of or contract()),
    )


def commit(run: str = "run", **fields: Any) -> Commit:
    return Commit(run_id=run, **fields)


def put(lake: Lakehouse, name: str, rows: pa.Table, run: str = "run", **fields: Any) -> int:
    """Stage, append, publish."""
    with lake.stage(name, commit(run, **fields)) as staged:
        staged.append(rows)
        return staged.publish()


def ids(rows: pa.Table) -> list[int]:
    found: list[Any] = rows["id"].to_pylist()
    return sorted(found)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
