"""Bronze messages to the shop's silver tables on a real lakehouse: in any order, again, anew, emptied, bad, wider."""

from __future__ import annotations

import json
import random
from datetime import date
from itertools import count
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import polars as pl
import pyarrow as pa
import pytest

from c360.cdc.audit import account, last_of_history, unknown_fields
from c360.cdc.connector import topic
from c360.cdc.contracts import BRONZE, current_name, history_name
from c360.cdc.schema import NAMES, shop_tables
from c360.cdc.state import versions
from c360.contracts import get_contract
from c360.errors import AuditFailed
from c360.lakehouse import Lakehouse
from c360_assets.defs.shop import assets, checks
from c360_assets.pipeline import shop, shop_rows
from c360_assets.resources.lake import LakehouseResource
from mock_data.company import company_of
from mock_data.shop_changes import transactions
from mock_data.shop_light import messages
from mock_data.shop_spoil import Spoiler
from tests.unit.cdc.shop_messages import NOON_US, ORDER, bronze_rows, order_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from c360.settings import Settings

pytestmark = pytest.mark.integration
Message = tuple[bytes | None, bytes | None]
CHECKS = (checks.account_check, checks.fields_check, checks.rows_check)
HISTORY, ROWS = history_name("orders"), current_name("orders")


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lakehouse]:
    with Lakehouse(settings) as lake:
        lake.ensure(get_contract(BRONZE))
        yield lake


@pytest.fixture
def bronze(lake: Lakehouse) -> Bronze:
    return Bronze(lake)


class Bronze:
    """Appends messages as the stream would."""

    def __init__(self, lake: Lakehouse) -> None:
        self._lake = lake
        self._offset = count()

    def add(self, *told: Message, table: str = "orders") -> None:
        parts = [bronze_rows(table, [message], first=next(self._offset)) for message in told]
        target = self._lake.table(BRONZE)
        target.append(
            pa.concat_tables(parts).select(target.schema().column_names).cast(self._lake.empty(BRONZE).schema)
        )


def change(op: str, lsn: int, *, order: str = "O1", snapshot: str = "false", **columns: Any) -> Message:
    """A message about an order, as it stands in Kafka."""
    row = order_row() | {"order_id": order} | columns
    source = ORDER["source"] | {"lsn": lsn, "snapshot": snapshot, "ts_us": NOON_US + lsn, "ts_ms": NOON_US // 1000}
    envelope = ORDER | {"op": op, "source": source, "before": row if op == "d" else None}
    envelope["after"] = row if op in "cur" else None
    key = None if op == "t" else json.dumps({"order_id": order}).encode()
    return key, json.dumps(envelope, separators=(",", ":")).encode()


def refine(lake: Lakehouse, table: str = "orders", *, full: bool = False) -> tuple[shop.HistoryRun, shop_rows.RowsRun]:
    """A run of both assets; what they made must be right by the messages and by another engine."""
    done = shop.refine_history(lake, table, run_id="test", full_refresh=full)
    assert done.read == done.added + done.repeated + done.tombstones + done.silent + done.dead
    made = shop_rows.refine_rows(lake, table, run_id="test", full_refresh=full)
    accounted, equal = account(lake, table), last_of_history(lake, table)
    assert accounted.passed, accounted.figures
    assert equal.passed, equal.figures
    return done, made


def now(lake: Lakehouse) -> dict[str, str]:
    """Status by order."""
    rows = lake.read(ROWS, ["order_id", "status"]).to_pylist()
    return {str(row["order_id"]): str(row["status"]) for row in rows}


def told(lake: Lakehouse) -> list[tuple[Any, ...]]:
    rows = lake.read(HISTORY, ["lsn", "order_id", "op", "inferred"]).to_pylist()
    return sorted((row["lsn"], row["order_id"] or "", row["op"], row["inferred"]) for row in rows)


STORY = [
    change("c", 100), change("c", 110, order="O2"), change("u", 120, status="paid"), change("d", 130, order="O2"),
    (json.dumps({"order_id": "O2"}).encode(), None), change("c", 140, order="O2", status="paid"),
    change("u", 150, status="shipped"), change("c", 160, order="O3"), change("d", 170, order="O3"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_any_order_and_any_number_of_times(lake: Lakehouse, bronze: Bronze, seed: int) -> None:
    """Messages late, repeated and in parts: a deletion may come before its row, and an old state after a newer one."""
    chance = random.Random(seed)
    scattered = [*STORY, *chance.sample(STORY, 5)]
    chance.shuffle(scattered)
    while scattered:
        size = chance.randint(1, 5)
        bronze.add(*scattered[:size])
        scattered = scattered[size:]
        refine(lake)
    assert now(lake) == {"O1": "shipped", "O2": "paid"}
    assert [each[:3] for each in told(lake)] == [
        *[(100, "O1", "c"), (110, "O2", "c"), (120, "O1", "u"), (130, "O2", "d"), (140, "O2", "c")],
        *[(150, "O1", "u"), (160, "O3", "c"), (170, "O3", "d")],
    ]


def test_only_new_messages_are_decoded_and_nothing_new_writes_nothing(lake: Lakehouse, bronze: Bronze) -> None:
    assert refine(lake)[0].mode == "nothing new"
    bronze.add(*STORY[:3])
    assert refine(lake)[0].read == 3
    bronze.add(*STORY[3:5], STORY[0])
    done, made = refine(lake)
    assert (done.mode, done.read, done.added, done.repeated, done.tombstones) == ("incremental", 3, 1, 1, 1)
    assert (made.mode, made.changes, made.late) == ("incremental", 1, 0)
    before = lake.snapshot(HISTORY), lake.snapshot(ROWS)
    bronze.add(change("c", 1), table="shipments")
    done, made = refine(lake)
    assert (done.mode, done.publication, made.publication) == ("nothing new", None, None)
    assert (lake.snapshot(HISTORY), lake.snapshot(ROWS)) == before


def test_truncation_empties_whatever_came_before_it_in_the_log(lake: Lakehouse, bronze: Bronze) -> None:
    bronze.add(*STORY[:3])
    refine(lake)
    bronze.add(change("t", 145), change("c", 200, order="O4"))
    assert refine(lake)[1].mode == "emptied"
    assert now(lake) == {"O4": "placed"}
    bronze.add(change("u", 144, status="completed"), change("u", 210, status="paid", order="O4"))
    refine(lake)
    assert now(lake) == {"O4": "paid"}


def test_rows_that_a_new_reading_lacks_are_deleted(lake: Lakehouse, bronze: Bronze) -> None:
    bronze.add(*(change("c", 100 + n, order=f"O{n}") for n in range(1, 6)))
    bad = change("r", 500, order="O5", status=5)
    refine(lake)
    # O1 changed and O3, O4 deleted while nobody listened; O5 is there, but cannot be read.
    bronze.add(change("r", 500, status="paid", snapshot="first_in_data_collection"), change("r", 500, order="O2"), bad)
    refine(lake)
    assert now(lake) == {"O1": "paid", "O2": "placed", "O3": "placed", "O4": "placed", "O5": "placed"}
    bronze.add(change("r", 500, order="O6", snapshot="last_in_data_collection"), change("c", 510, order="O3"))
    done, _ = refine(lake)
    assert done.inferred == 2
    assert now(lake) == {name: "paid" if name == "O1" else "placed" for name in ("O1", "O2", "O3", "O5", "O6")}
    gone = [row for row in lake.read(HISTORY).to_pylist() if row["inferred"]]
    assert sorted((row["order_id"], row["op"], row["lsn"], row["customer_id"]) for row in gone) == [
        *[("O3", "d", 500, "C1"), ("O4", "d", 500, "C1")],
    ]
    # One row of the reading was late, and one change from before it.
    bronze.add(change("r", 500, order="O4", status="shipped"), change("u", 300, order="O9"))
    done, _ = refine(lake)
    assert (done.added, done.inferred) == (2, 1)
    assert now(lake)["O4"] == "shipped"
    assert "O9" not in now(lake)


def test_a_table_that_a_new_reading_finds_empty_is_emptied(lake: Lakehouse, bronze: Bronze) -> None:
    bronze.add(change("c", 100))
    refine(lake)
    shipment = {
        "shipment_id": "S1",
        "order_id": "O1",
        "carrier": "x",
        "service_level": "standard",
        "warehouse": "x",
        "status": "created",
        "shipping_cost": None,
        "weight_kg": 1.0,
        "updated_at": order_row()["updated_at"],
        "location_id": None,
        "shipped_at": None,
        "promised_at": order_row()["updated_at"],
        "delivered_at": None,
    }
    source = ORDER["source"] | {"lsn": 500, "snapshot": "last"}
    bronze.add(
        (b'{"shipment_id":"S1"}', json.dumps(ORDER | {"op": "r", "after": shipment, "source": source}).encode()),
        table="shipments",
    )
    assert refine(lake, "shipments")[0].added == 1
    refine(lake)
    assert now(lake) == {}
    assert told(lake)[-1] == (500, "O1", "d", True)


def test_bad_messages_are_letters_once_and_are_read_when_the_contract_is_mended(
    lake: Lakehouse, bronze: Bronze, monkeypatch: pytest.MonkeyPatch
) -> None:
    from c360.streams.dead_letters import Selection, select

    future = change("c", 10, order="O9", ordered_at="2025-01-01T13:00:01Z")
    bronze.add(change("c", 100), future, (b"\xff", b"\xff"), change("u", 120, status=None), (None, b"{}"))
    done, _ = refine(lake)
    assert (done.added, done.dead) == (1, 4)
    refine(lake, full=True)
    letters = select(lake, Selection())
    assert [(letter.reason, letter.field_name, letter.position.offset) for letter in letters] == [
        ("future_event_time", "ordered_at", 1),
        ("bad_encoding", None, 2),
        ("missing_required", "status", 3),
        ("malformed_record", None, 4),
    ]
    assert letters[0].value == future[1]
    for module in ("decode", "message"):
        monkeypatch.setattr(f"c360.cdc.{module}.HOUR", 2 * 3_600_000_000)
    done, _ = refine(lake, full=True)
    assert (done.added, done.dead) == (2, 3)
    assert now(lake) == {"O1": "placed", "O9": "placed"}
    assert len(select(lake, Selection())) == 4


def test_a_crash_before_the_commit_leaves_the_tables_and_a_rerun_heals(
    lake: Lakehouse, bronze: Bronze, monkeypatch: pytest.MonkeyPatch
) -> None:
    bronze.add(change("c", 100), change("u", 120, status=None))
    with monkeypatch.context() as patch:
        patch.setattr("c360.lakehouse.staged.Staged.publish", lambda _: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            shop.refine_history(lake, "orders", run_id="killed")
    assert lake.read(HISTORY).num_rows == 0
    with monkeypatch.context() as patch:
        # The letters are published, the history is not.
        real = shop.append_dead
        patch.setattr(shop, "append_dead", lambda *given: (real(*given), pytest.fail("killed")))
        with pytest.raises(pytest.fail.Exception):
            shop.refine_history(lake, "orders", run_id="killed")
    assert (lake.read(HISTORY).num_rows, lake.read("silver.dead_letters").num_rows) == (0, 1)
    done, _ = refine(lake)
    assert (done.added, done.dead) == (1, 1)
    assert lake.read("silver.dead_letters").num_rows == 1
    # The history is published, the rows are not.
    bronze.add(change("u", 130, status="paid"))
    shop.refine_history(lake, "orders", run_id="killed")
    assert now(lake) == {"O1": "placed"}
    refine(lake)
    assert now(lake) == {"O1": "paid"}


def test_a_refused_audit_publishes_nothing(lake: Lakehouse, bronze: Bronze, monkeypatch: pytest.MonkeyPatch) -> None:
    bronze.add(change("c", 100), change("u", 120, status=None))
    monkeypatch.setattr(shop, "_fresh", lambda table, rows, known: pa.concat_tables([rows, rows]))
    with pytest.raises(AuditFailed, match=r"expect_compound_columns_to_be_unique"):
        shop.refine_history(lake, "orders", run_id="test")
    assert lake.read(HISTORY).num_rows == 0
    assert lake.read("silver.dead_letters").num_rows == 0


def test_columns_added_at_the_source_are_kept_and_told(lake: Lakehouse, bronze: Bronze) -> None:
    bronze.add(change("c", 100), change("u", 110, gift=True, note="n"), change("c", 120, order="O2", gift=None))
    refine(lake)
    assert unknown_fields(lake, "orders") == {"gift": 2, "note": 1}
    rows = {row["order_id"]: row["more"] for row in lake.read(ROWS, ["order_id", "more"]).to_pylist()}
    assert rows == {"O1": '{"gift":true,"note":"n"}', "O2": '{"gift":null}'}


def test_checks_find_what_is_wrong(lake: Lakehouse, bronze: Bronze) -> None:
    bronze.add(*STORY)
    refine(lake)
    with lake.stage(HISTORY, commit_of(lake, HISTORY)) as staged:
        staged.delete("lsn = 120")
        staged.publish()
    assert account(lake, "orders").figures["unaccounted"] == 1
    with lake.stage(ROWS, commit_of(lake, ROWS)) as staged:
        staged.delete("order_id = 'O2'")
        staged.publish()
    found = last_of_history(lake, "orders")
    assert (found.passed, found.figures["missing"], found.figures["surplus"]) == (False, 1, 0)


def commit_of(lake: Lakehouse, name: str) -> Any:
    from c360.lakehouse import Commit

    last = lake.last_commit(name)
    assert last is not None
    return Commit("tampered", dict(last.sources), extra=dict(last.extra))


def test_a_company_equals_its_transactions(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tables of a small company, in three parts, on a bad day, against a replay of its transactions by hand."""
    monkeypatch.setattr("mock_data.shop_spoil.BROKEN", 0.1)
    spoiler = Spoiler(11)
    played = list(transactions(company_of(0.003, 5, date(2025, 1, 1), 40)))
    sent: dict[str, list[Message]] = {topic(name): [] for name in NAMES}
    state: dict[str, dict[Any, Any]] = {name: {} for name in NAMES}
    position = 1
    parts: list[dict[str, list[Message]]] = []
    for number, transaction in enumerate(played):
        for name, key, value in messages(transaction, position):
            sent[name].append((key, value))
        position += len(transaction.changes)
        for each in transaction.changes:
            key_of = tuple(each.key.values())
            if each.after is None:
                del state[each.table][key_of]
            else:
                state[each.table][key_of] = each.after
        if number % (len(played) // 3) == 0 or number == len(played) - 1:
            parts.append({name: spoil(spoiler, name, rows) for name, rows in sent.items() if rows})
            sent = {topic(name): [] for name in NAMES}
    offsets = dict.fromkeys(NAMES, 0)
    target = lake.table(BRONZE)
    for part in parts:
        for name, rows in part.items():
            table = name.rpartition(".")[2]
            made = bronze_rows(table, rows, first=offsets[table])
            target.append(made.select(target.schema().column_names).cast(lake.empty(BRONZE).schema))
            offsets[table] += len(rows)
        for table in NAMES:
            refine(lake, table)
    damaged = spoiler.counts.total() - spoiler.counts["repeated"] - spoiler.counts["read_again"]
    assert lake.read("silver.dead_letters").num_rows == damaged
    assert damaged > 20
    assert spoiler.counts["read_again"] > 0 < spoiler.counts["repeated"]
    changes = [each for transaction in played for each in transaction.changes]
    for table in NAMES:
        columns = list(shop_tables()[table].names)
        found = pl.DataFrame(lake.read(current_name(table), columns)).sort(columns[0])
        assert found.to_dicts() == [state[table][key] for key in sorted(state[table])]
        history = lake.read(history_name(table))
        assert len({tuple(row.values()) for row in history.select(["lsn", "op"]).to_pylist()}) == history.num_rows
        with duckdb.connect() as session:
            session.register("history", history)
            counted = dict(session.execute("SELECT op, count(*) FROM history WHERE op <> 'r' GROUP BY op").fetchall())
        assert counted == {op: size for op in "cud" if (size := sum(e.table == table and e.op == op for e in changes))}
    assert {each.op for each in changes} == {"c", "u", "d"}
    shown = versions(pl.DataFrame(lake.read(history_name("products"))), shop_tables()["products"])
    wanted = [each for each in changes if each.table == "products"]
    assert shown.height == len(wanted)
    for row in shown.iter_rows(named=True):
        assert row["valid_to"] is None or row["valid_to"] > row["valid_from"] == row["updated_at"]


def spoil(spoiler: Spoiler, name: str, rows: list[Message]) -> list[Message]:
    """What becomes of a topic's messages on a bad day."""
    return [(key, value) for _, key, value in spoiler.spoil([(name, key or b"", value) for key, value in rows])]


def test_versions_follow_the_log() -> None:
    """A row read anew without a difference is no version; a deletion ends one, a return begins one."""

    def step(op: str, lsn: int, status: str, *, inferred: bool = False) -> dict[str, Any]:
        return {"order_id": "O1", "status": status, "op": op, "lsn": lsn, "inferred": inferred, "kafka_offset": lsn}

    steps = [
        step("c", 1, "placed"), step("u", 2, "paid"), step("r", 3, "paid"), step("d", 4, "paid"),
        step("c", 5, "paid"), step("d", 6, "paid", inferred=True), step("r", 6, "shipped"),
    ]  # fmt: skip
    frame = pl.DataFrame(steps).with_columns(
        committed_at=pl.from_epoch(pl.col("lsn") * 60), changed_at=pl.from_epoch(pl.col("lsn") * 60)
    )
    small = type(shop_tables()["orders"])(
        "orders", tuple(c for c in shop_tables()["orders"].columns if c.name in {"order_id", "status"}), ("order_id",)
    )
    found = versions(frame.sample(fraction=1, shuffle=True, seed=1), small)
    seconds = [(row[1], row[2].minute, row[3] and row[3].minute) for row in found.sort("valid_from").rows()]
    assert seconds == [("placed", 1, 2), ("paid", 2, 4), ("paid", 5, 6), ("shipped", 6, None)]


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
def test_assets_and_their_checks(lake: Lakehouse, bronze: Bronze, settings: Settings) -> None:
    bronze.add(*STORY, change("u", 500, status=None), change("u", 510, gift=1))
    customer = {"customer_id": "C1", "registered_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}
    bronze.add((b"{}", json.dumps(ORDER | {"after": customer}).encode()), table="customers")
    made = [
        assets.shop_asset(table, of(table)) for table in ("orders", "customers") for of in (history_name, current_name)
    ]
    judged = [
        *(make(table) for table in ("orders", "customers") for make in CHECKS),
        checks.versions_check("customers"),
    ]

    def run() -> dict[tuple[str, str], tuple[bool, str]]:
        result = dg.materialize(
            [*made, *judged], resources={"lakehouse": LakehouseResource(home=str(settings.home))}, raise_on_error=True
        )
        return {
            (each.asset_key.path[-1], each.check_name): (each.passed, each.description or "")
            for each in result.get_asset_check_evaluations()
        }

    found = run()
    assert {name for name, (passed, _) in found.items() if not passed} == {
        ("shop_orders_history", "contract_knows_every_field")
    }
    assert found["shop_orders_history", "contract_knows_every_field"][1] == "unknown: gift"
    assert {check for table, check in found if table == "shop_customers"} == {
        *("contract", "equals_last_of_history", "open_versions_are_the_rows"),
    }
    assert now(lake) == {"O1": "placed", "O2": "paid"}
    snapshot = lake.snapshot(ROWS)
    assert run()["shop_orders", "contract"] == (True, "nothing new; audited before")
    assert lake.snapshot(ROWS) == snapshot


def test_a_large_transaction_is_one_run(lake: Lakehouse, bronze: Bronze) -> None:
    rows: Sequence[Message] = [change("c", 1000 + n, order=f"O{n}") for n in range(50_000)]
    target = lake.table(BRONZE)
    made = bronze_rows("orders", rows)
    target.append(made.select(target.schema().column_names).cast(lake.empty(BRONZE).schema))
    done, run = refine(lake)
    assert (done.added, run.keys) == (50_000, 50_000)
