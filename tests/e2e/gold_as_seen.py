"""What a role may see of the gold tables, said in DuckDB's SQL over their Parquet files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable

MASKS = {
    "birth_date": "strftime(birth_date, '%Y')",
    "postal_code": "left(postal_code, 2) || '***'",
    "city": "if(city is null, null, '***')",
    "location_id": "if(location_id is null, null, '***')",
}
DIRECT = ("full_name", "first_name", "last_name", "email", "phone", "street")
BY_CONSENT = {
    "email": "consent_marketing_email is true",
    "phone": "consent_marketing_sms is true",
}
Row = dict[str, Any]


class GoldAsSeen:
    """``files``: the data files of one snapshot of each table."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._files = files

    def customers(self, role: str) -> dict[str, Row]:
        """By id, those that the role may see. Marketing: a column that the customer did not consent to is absent."""
        wanted = "true"
        hidden: tuple[str, ...] = () if role == "support" else DIRECT
        if role == "marketing":
            wanted = " or ".join(BY_CONSENT.values())
            hidden = ("full_name", "last_name", "street")
        rows = self._rows("gold.customer_360", wanted, tuple(MASKS), hidden)
        if role == "marketing":
            for row in rows:
                for column, consent in BY_CONSENT.items():
                    if row[consent.partition(" ")[0]] is not True:
                        row.pop(column)
        return {row["customer_id"]: row for row in rows}

    def orders(self) -> dict[str, list[Row]]:
        """By customer, newest first, for any role that sees quasi-identifiers masked."""
        found: dict[str, list[Row]] = {}
        order = " order by ordered_at desc, order_id desc"
        for row in self._rows("gold.fact_orders", "customer_id is not null" + order, ("location_id",), ()):
            found.setdefault(row["customer_id"], []).append(row)
        return found

    def _rows(self, table: str, where: str, masked: Iterable[str], hidden: Iterable[str]) -> list[Row]:
        masks = ", ".join(f"{MASKS[column]} as {column}" for column in masked)
        left_out = f"exclude ({', '.join(hidden)})" if hidden else ""
        done = self._connection.execute(
            f"select * {left_out} replace ({masks}) from read_parquet(?, hive_partitioning=false) where {where}",
            [self._files[table]],
        )
        names = [column[0] for column in done.description]
        return [
            {name: _plain(value) for name, value in zip(names, row, strict=True) if not name.startswith("_")}
            for row in done.fetchall()
        ]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else f"{value:f}" if isinstance(value, Decimal) else value
