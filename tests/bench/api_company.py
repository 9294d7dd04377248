"""Customers in bulk for the benchmark of the API: made column by column, published as the gold build publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from c360.contracts import get_contract
from c360.lakehouse import Commit
from c360.serving.model import TABLES
from c360.serving.release import ANCHOR

if TYPE_CHECKING:
    from c360.contracts.model import Column
    from c360.lakehouse import Lakehouse

START = datetime(2025, 1, 1, tzinfo=UTC)
MARTS = (
    "gold.product_performance", "gold.inventory_insights", "gold.sales_daily", "gold.delivery_performance",
    "gold.anomaly_alerts",
)  # fmt: skip
KEYS = {"gold.product_performance": ("product_id",), "gold.inventory_insights": ("product_id",)}
WORDS = pa.array([f"{first} {last}" for first in ("Zoë", "Łukasz", "Ana", "Jo") for last in ("García", "Żak", "Berg")])
UNIQUE = {"email": "{}@example.com", "phone": "+4930{}", "full_name": "Ada {} Berg"}
PLACES = {"country_code": pa.array(["DE", "FR", "IT"]), "region": pa.array(["Bayern", "Berlin", "Hessen", "Lazio"])}


class Crowd:
    """``customers`` with ids C0000000 on, with ``each`` rows in every table that lists what belongs to a customer."""

    def __init__(self, lake: Lakehouse, customers: int, each: int) -> None:
        self._lake, self._of = lake, np.random.default_rng(360)
        self._sources: dict[str, int] = {}
        self._runs = 0
        self.ids = pa.array([f"C{number:07}" for number in range(customers)])
        for table in TABLES:
            if table != ANCHOR:
                self._publish(table, self._rows(table, 1_000 if table in MARTS else customers * each))
        self.customers = self._rows(ANCHOR, customers)
        self._publish(ANCHOR, self.customers)

    def change(self, share: float) -> None:
        """Publish all customers again with another revenue for a ``share`` of them."""
        column = self.customers.schema.get_field_index("revenue_amount")
        field = self.customers.schema.field(column)
        other = pc.if_else(
            pa.array(self._of.random(len(self.customers)) < share),
            self._values(get_contract(ANCHOR).column("revenue_amount"), len(self.customers)).cast(field.type),
            self.customers.column(column),
        )
        self.customers = self.customers.set_column(column, field, other)
        self._publish(ANCHOR, self.customers)

    def _publish(self, table: str, rows: pa.Table) -> None:
        self._runs += 1
        named = self._sources if table == ANCHOR else {}
        commit = Commit(f"run-{self._runs}", named, "1.0.0", "2025-12-31", {"c360.as-of": START.isoformat()})
        with self._lake.stage(table, commit) as staged:
            staged.overwrite(rows)
            staged.publish()
        snapshot = self._lake.snapshot(table)
        if table not in MARTS and table != ANCHOR and snapshot is not None:
            self._sources[table] = snapshot

    def _rows(self, table: str, count: int) -> pa.Table:
        contract = get_contract(table)
        schema = self._lake.ensure(contract).schema().as_arrow()
        columns = [
            self._ids(table, count) if column.name in KEYS.get(table, ("customer_id",)) else self._values(column, count)
            for column in contract.columns
        ]
        return pa.Table.from_arrays(
            [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
        )

    def _ids(self, table: str, count: int) -> pa.Array[Any]:
        if table == ANCHOR or table in MARTS:
            return self.ids[:count]
        return self.ids.take(np.sort(self._of.integers(0, len(self.ids), count)))

    def _values(self, column: Column, count: int) -> pa.Array[Any]:
        some = self._of.integers(0, 2**31, count)
        found: pa.Array[Any]
        if column.name in UNIQUE:
            before, after = UNIQUE[column.name].split("{}")
            numbers = pa.array(np.arange(10_000_000, 10_000_000 + count)).cast(pa.string())
            parts: list[Any] = [before, numbers, after, ""]
            joined: pa.Array[Any] = pc.binary_join_element_wise(*parts)
            return joined
        if column.enum or column.name in PLACES or column.type == "string":
            words = PLACES.get(column.name, pa.array(column.enum) if column.enum else WORDS)
            found = words.take(some % len(words))
        elif column.type.startswith("decimal"):
            scale = int(column.type.rstrip(")").partition(",")[2])
            found = pa.array(some % 10_000).cast(pa.decimal128(19, 0)).cast(pa.decimal128(38, scale))
        elif column.type == "timestamp":
            found = pa.array(some * 10_000 + int(START.timestamp() * 1e6)).cast(pa.timestamp("us", "UTC"))
        elif column.type == "boolean":
            found = pa.array(some % 2 == 0)
        elif column.type == "date":
            found = pa.array((some % 20_000).astype("int32")).cast(pa.date32())
        elif column.type == "double":
            found = pa.array(some / 2**24)
        else:
            found = pa.array(some % 100)
        if column.required:
            return found
        kept: pa.Array[Any] = pc.if_else(pa.array(self._of.random(count) < 0.9), found, pa.scalar(None, found.type))
        return kept
