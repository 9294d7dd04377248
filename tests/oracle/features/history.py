"""Changes as the rows of ``silver.shop_<table>_history``, in the columns that the batch form of the features reads."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.oracle.features.changes import Change

TEXT, LONG, MONEY, MOMENT = pa.string(), pa.int64(), pa.decimal128(12, 2), pa.timestamp("us", "UTC")
CAPTURED: dict[str, pa.DataType] = {
    "op": TEXT, "lsn": LONG, "transaction_id": LONG, "committed_at": MOMENT, "changed_at": MOMENT,
    "kafka_partition": pa.int32(), "kafka_offset": LONG, "kafka_timestamp": MOMENT,
}  # fmt: skip
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "orders": {
        "order_id": TEXT, "customer_id": TEXT, "ordered_at": MOMENT, "status": TEXT, "total_amount": MONEY,
        "updated_at": MOMENT,
    },
    "order_items": {
        "order_item_id": TEXT, "order_id": TEXT, "product_id": TEXT, "quantity": LONG, "returned_quantity": LONG,
        "updated_at": MOMENT,
    },
    "products": {"product_id": TEXT, "category": TEXT, "status": TEXT, "updated_at": MOMENT},
    "stock": {"movement_id": TEXT, "product_id": TEXT, "quantity": LONG, "moved_at": MOMENT},
}  # fmt: skip
FIRST_LSN = 1 << 24


def histories(changes: Iterable[Change]) -> dict[str, pa.Table]:
    """The four tables of history after these changes: each once, and without those that silver refuses."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    told: set[tuple[str, int, str]] = set()
    for offset, change in enumerate(changes):
        if change.table not in COLUMNS:
            continue
        lsn = FIRST_LSN + (offset if change.lsn is None else change.lsn)
        row = change.content or {}
        if (change.table, lsn, change.op) in told or _is_refused(change):
            continue
        told.add((change.table, lsn, change.op))
        rows[change.table].append(
            {
                **{name: row.get(name) for name in COLUMNS[change.table]},
                "op": change.op, "lsn": lsn, "transaction_id": offset, "committed_at": change.at,
                "changed_at": row.get("updated_at") or row.get("moved_at"), "kafka_partition": 0,
                "kafka_offset": offset, "kafka_timestamp": change.at,
            }
        )  # fmt: skip
    return {
        f"shop_{table}_history": pa.Table.from_pylist(rows[table], schema=pa.schema({**columns, **CAPTURED}))
        for table, columns in COLUMNS.items()
    }


def _is_refused(change: Change) -> bool:
    row = change.content
    if change.table != "orders" or row is None:
        return False
    return row["total_amount"] is None or row["ordered_at"] > change.at + timedelta(hours=1)
