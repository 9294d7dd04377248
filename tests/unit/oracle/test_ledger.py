"""The ledger test itself: a balanced company passes, and every way to cheat is found."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.oracle.ledger import assert_balanced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY_1, DAY_2 = "shop/orders/2024-01-01/orders.csv", "shop/orders/2024-01-02/orders.csv"
TEXT: pa.DataType = pa.string()
NUMBER: pa.DataType = pa.int64()
POSITION = pa.schema({"_source_file": TEXT, "_source_row": NUMBER, "order_id": TEXT})
REJECTED = pa.schema(
    {
        **dict.fromkeys(("source_table", "source_file", "reason", "column_name"), TEXT),
        "source_row": NUMBER,
    }
)
DEDUPLICATED = pa.schema(
    {
        **dict.fromkeys(("source_table", "source_file", "kept_file"), TEXT),
        **dict.fromkeys(("source_row", "kept_row"), NUMBER),
    }
)


@dataclass
class Result:
    """What a pipeline made of the landing files; a test spoils it."""

    truth: Path
    landing: Path
    accepted: list[dict[str, Any]] = field(default_factory=list)
    deduplicated: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def balance(self, until: date | None = None) -> list[dict[str, Any]]:
        return assert_balanced(
            self.truth,
            self.landing,
            {"orders": pa.Table.from_pylist(self.accepted, POSITION)},
            pa.Table.from_pylist(self.deduplicated, DEDUPLICATED),
            pa.Table.from_pylist(self.rejected, REJECTED),
            until,
        )


def accept(file: str, row: int) -> dict[str, Any]:
    return {"_source_file": file, "_source_row": row, "order_id": f"{file}{row}"}


def reject(file: str, row: int, reason: str, column: str | None) -> dict[str, Any]:
    return {
        "source_table": "silver.orders", "source_file": file, "source_row": row, "reason": reason,
        "column_name": column,
    }  # fmt: skip


@pytest.fixture
def result(tmp_path: Path) -> Result:
    """Seven records over two days: one duplicate, one malformed, one bad amount, one repaired; the rest is clean."""
    landing, truth = tmp_path / "landing", tmp_path / "truth"
    for file, content in ((DAY_1, "id,amount\n1,5\n1, 5\nbroken\n2,x\n"), (DAY_2, "id,amount\n3, 7 \n4,8\n5,9\n")):
        (landing / file).parent.mkdir(parents=True)
        (landing / file).write_text(content)
    truth.mkdir()
    ledger = [
        (DAY_1, 2, "duplicate_formatting", "deduplicated", None, None),
        (DAY_1, 3, "malformed_line", "rejected", "malformed_record", None),
        (DAY_1, 4, "bad_type", "rejected", "bad_type", "amount"),
        (DAY_2, 1, "messy", "accepted", None, "amount"),
    ]
    names = ["file", "row", "defect", "outcome", "reason", "column_name"]
    rows = [{"entity": "orders", **dict(zip(names, row, strict=True)), "key": "k"} for row in ledger]
    pq.write_table(pa.Table.from_pylist(rows), truth / "ledger.parquet")
    days = {
        "2024-01-01": {"generated": 4, "accepted": 1, "deduplicated": 1, "rejected": 2},
        "2024-01-02": {"generated": 3, "accepted": 3, "deduplicated": 0, "rejected": 0},
    }
    reasons = {"malformed_record": 1, "bad_type": 1, "other": 0}
    counts = {"generated": 7, "accepted": 4, "deduplicated": 1, "rejected": reasons, "days": days}
    (truth / "counts.json").write_text(json.dumps({"orders": counts}))
    duplicate = {
        "source_table": "silver.orders", "source_file": DAY_1, "source_row": 2, "kept_file": DAY_1, "kept_row": 1
    }  # fmt: skip
    return Result(
        truth,
        landing,
        [accept(DAY_1, 1), *(accept(DAY_2, row) for row in (1, 2, 3))],
        [duplicate],
        [reject(DAY_1, 3, "malformed_record", None), reject(DAY_1, 4, "bad_type", "amount")],
    )


def test_balanced(result: Result) -> None:
    reasons = {"malformed_record": 1, "bad_type": 1}
    whole = {"entity": "orders", "generated": 7, "accepted": 4, "deduplicated": 1, "rejected": 2, "reasons": reasons}
    assert result.balance() == [whole]


def test_balanced_after_the_first_batch_only(result: Result) -> None:
    del result.accepted[1:]
    assert result.balance(date(2024, 1, 1))[0]["generated"] == 4
    with pytest.raises(AssertionError, match="lost: landed records that ended nowhere: orders 3"):
        result.balance()


def _lose(result: Result) -> None:
    result.accepted.pop()


def _invent(result: Result) -> None:
    result.accepted.append(accept(DAY_2, 4))


def _count_twice(result: Result) -> None:
    result.accepted.append(accept(DAY_2, 3))


def _reject_a_clean_record(result: Result) -> None:
    result.accepted.pop()
    result.rejected.append(reject(DAY_2, 3, "bad_type", "amount"))


def _swap_two_positions(result: Result) -> None:
    """The counts still agree: only the positions tell."""
    result.accepted[0] = accept(DAY_1, 4)
    result.rejected[1] = reject(DAY_1, 1, "bad_type", "amount")


def _other_reason(result: Result) -> None:
    result.rejected[1] = reject(DAY_1, 4, "out_of_range", "amount")


def _other_column(result: Result) -> None:
    result.rejected[1] = reject(DAY_1, 4, "bad_type", "id")


def _keep_nothing(result: Result) -> None:
    result.deduplicated[0]["kept_row"] = 3


def _wrong_counts(result: Result) -> None:
    counts = json.loads((result.truth / "counts.json").read_text())
    counts["orders"]["rejected"]["bad_type"] = 2
    (result.truth / "counts.json").write_text(json.dumps(counts))


def _wrong_day(result: Result) -> None:
    counts = json.loads((result.truth / "counts.json").read_text())
    days = counts["orders"]["days"]
    days["2024-01-01"]["accepted"], days["2024-01-02"]["accepted"] = 3, 1
    (result.truth / "counts.json").write_text(json.dumps(counts))


def _unlanded_ledger_row(result: Result) -> None:
    (result.landing / DAY_2).write_text("id,amount\n")
    del result.accepted[1:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_lose, r"lost: landed records that ended nowhere: orders 1\s+entity=orders, file=\S+02/orders.csv, row=3"),
        (_invent, r"invented: rows of a position that never landed: orders 1\s+.*row=4, actual=accepted"),
        (_count_twice, "counted twice: records that ended more than once: orders 1"),
        (_reject_a_clean_record, (r"wrong outcome: orders 1\s+.*row=3, defect=-, actual=rejected bad_type amount, "
         "expected=accepted")),
        (_swap_two_positions, "wrong outcome: orders 2"),
        (_other_reason, "row=4, defect=bad_type, actual=out_of_range amount, expected=bad_type amount"),
        (_other_column, "actual=bad_type id, expected=bad_type amount"),
        (_keep_nothing, "duplicates whose kept record was not accepted: orders 1"),
        (_wrong_counts, "orders: 1 rejected as bad_type, counts.json says 2"),
        (_wrong_day, "2 days differ from counts.json"),
        (_unlanded_ledger_row, "truth: ledger rows at a position that no landing file has: orders 1"),
    ],
)  # fmt: skip
def test_every_imbalance_is_found(result: Result, spoil: Callable[[Result], None], message: str) -> None:
    spoil(result)
    with pytest.raises(AssertionError, match=message):
        result.balance()
