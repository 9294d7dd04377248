"""A lakehouse whose served tables hold rows made here: the rows themselves are what the tests compare with."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from c360.contracts import get_contract
from c360.lakehouse import Commit
from c360.serving.model import TABLES

if TYPE_CHECKING:
    from c360.contracts.model import Column, Contract
    from c360.lakehouse import Lakehouse

Row = dict[str, Any]
START = datetime(2025, 1, 1, tzinfo=UTC)
NAMES = ("Zoë García", "Łukasz Żak", "Ngô Ý", 'Jo "Q" O\'Neil', "\U0001f600 Smile", "Back\\slash\nNew")
CUSTOMER_TABLES = (
    "gold.dim_customer", "silver.consents", "gold.fact_orders", "gold.fact_logistics", "silver.events",
    "gold.anomaly_alerts",
)  # fmt: skip
PRODUCT_TABLES = ("gold.product_performance", "gold.inventory_insights")
BESIDE = (*PRODUCT_TABLES, "gold.sales_daily", "gold.delivery_performance", "gold.anomaly_alerts")
"""Tables that the anchor does not name."""


def value(column: Column, of: random.Random) -> Any:
    """Any value of the column's type; null now and then where the contract lets it."""
    if not column.required and of.random() < 0.15:
        return None
    if column.enum:
        return of.choice(column.enum)
    kind = column.type
    if kind.startswith("decimal"):
        scale = int(kind.rstrip(")").partition(",")[2])
        return Decimal(of.randrange(-10_000, 1_000_000)).scaleb(-scale)
    made: dict[str, Any] = {
        "string": of.choice(NAMES),
        "int": of.randrange(100),
        "long": of.randrange(2**53, 2**60),
        "double": of.random() * 100,
        "boolean": of.random() < 0.5,
        "date": date(1950, 1, 1) + timedelta(days=of.randrange(20_000)),
        "timestamp": START + timedelta(microseconds=of.randrange(10**13)),
        "binary": b"\x00",
    }
    return made[kind]


def row(contract: Contract, of: random.Random, **given: Any) -> Row:
    """One row of a table, without what says where it came from."""
    return {c.name: given.get(c.name, value(c, of)) for c in contract.columns}


class Company:
    """Rows by table. ``publish`` writes them all as one release and returns when it was published."""

    def __init__(self, lake: Lakehouse, customers: int = 60, seed: int = 5) -> None:
        self.lake, self.of = lake, random.Random(seed)
        self.rows: dict[str, list[Row]] = {}
        self.published = 0
        ids = [f"C{number:07}" for number in range(customers)]
        self.fill("gold.customer_360", [{"customer_id": i, "email": f"{i}@example.com".lower()} for i in ids])
        for table in CUSTOMER_TABLES:
            nobody = [] if get_contract(table).column("customer_id").required else [None]
            self.fill(table, [{"customer_id": self.of.choice([*ids, *nobody])} for _ in range(customers * 4)])
        for table in PRODUCT_TABLES:
            self.fill(table, [{"product_id": f"P{number:05}"} for number in range(20)])
        days = [date(2025, 1, 1) + timedelta(days=day) for day in range(10)]
        for table, column in (("gold.sales_daily", "order_date"), ("gold.delivery_performance", "ship_month")):
            self.fill(table, [{column: self.of.choice(days)} for _ in range(40)])

    def fill(self, table: str, given: list[Row]) -> None:
        """Replace a table's rows by made ones with these values."""
        contract = get_contract(table)
        self.rows[table] = [row(contract, self.of, **each) for each in given]

    def publish(self, *, run: str = "", tables: tuple[str, ...] = TABLES) -> datetime:
        """Replace the tables in the lake by the rows; the anchor last, as it names the others."""
        self.published += 1
        run = run or f"run-{self.published}"
        sources: dict[str, int] = {}
        for table in sorted(tables, key=lambda name: name == "gold.customer_360"):
            schema = self.lake.ensure(get_contract(table)).schema()
            arrow = pa.Table.from_pylist(self.rows[table], schema=schema.as_arrow())
            extra = {"c360.as-of": START.isoformat()}
            named = sources if table == "gold.customer_360" else {}
            with self.lake.stage(table, Commit(run, named, "1.0.0", "2025-12-31", extra)) as staged:
                staged.overwrite(arrow)
                staged.publish()
            snapshot = self.lake.snapshot(table)
            assert snapshot is not None
            if table not in BESIDE:
                sources[table] = snapshot
        return self.lake.history("gold.customer_360")[0].committed_at
