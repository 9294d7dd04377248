"""Messages to rows: against the encoder, against texts that Debezium 3.6 wrote, and whatever else may come."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from c360.cdc import decode as decoding
from c360.cdc.contracts import history_contract
from c360.cdc.decode import Decoded, decode
from c360.cdc.envelope import Position, message_key, message_value
from c360.cdc.schema import ShopColumn, ShopTable, shop_table, shop_tables
from c360.contracts import get_contract, to_arrow
from tests.unit.cdc.shop_messages import NOON, ORDER, bronze_rows, debezium, order_row

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLES = list(shop_tables().values())
ORDERS, PRODUCTS = shop_tables()["orders"], shop_tables()["products"]


def read(table: ShopTable, *values: bytes | None, key: bytes | None = b'{"order_id":"O1"}') -> Decoded:
    return decode(table, bronze_rows(table.name, [(key, value) for value in values]))


def rows(found: Decoded) -> list[dict[str, Any]]:
    return list(found.history.to_pylist())


def refusals(found: Decoded) -> list[tuple[str, str | None]]:
    return [(row["reason"], row["field_name"]) for row in found.dead.to_pylist()]


def value_of(column: ShopColumn) -> st.SearchStrategy[Any]:
    if column.scale is not None:
        kind: st.SearchStrategy[Any] = st.decimals("-9999999999.99", "9999999999.99", places=column.scale)
    else:
        kind = {
            "string": st.text(st.characters(codec="utf-8"), max_size=12),
            "int": st.integers(-(2**31), 2**31 - 1),
            "long": st.integers(-(2**63), 2**63 - 1),
            "double": st.floats(allow_nan=False, allow_infinity=False),
            "boolean": st.booleans(),
            "date": st.dates(),
            "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
        }[column.type]
    if column.name == "ordered_at":
        return st.datetimes(datetime(1, 1, 1), datetime(2025, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
    return kind if column.required else st.none() | kind


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_what_the_encoder_writes_comes_back(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(TABLES))
    row = data.draw(st.fixed_dictionaries({column.name: value_of(column) for column in table.columns}))
    op = data.draw(st.sampled_from(["c", "u", "d"]))
    where = Position(data.draw(st.integers(0, 2**62)), data.draw(st.integers(0, 2**32)), NOON)
    before, after = (row, None) if op == "d" else (None, row)
    found = read(table, message_value(table, op, before, after, where, NOON), key=message_key(table, row))  # type: ignore[arg-type]
    assert refusals(found) == []
    (made,) = rows(found)
    assert {name: made[name] for name in table.names} == row
    changed = row["moved_at" if table.name == "stock" else "updated_at"]
    assert (made["op"], made["lsn"], made["transaction_id"], made["committed_at"], made["changed_at"]) == (
        *(op, where.lsn, where.transaction, NOON, changed),
    )
    assert (made["more"], made["inferred"]) == (None, False)


def test_messages_as_debezium_wrote_them() -> None:
    deleted, read_anew = debezium("order_deleted"), debezium("order_read")
    found = read(ORDERS, debezium("order_created"), debezium("order_updated"), deleted, None, read_anew)
    expected = {
        "order_id": "O000000007",
        "customer_id": "C0000012",
        "ordered_at": datetime(2025, 1, 3, 8, 20, 7, tzinfo=UTC),
        "status": "placed",
        "channel": None,
        "location_id": "L0000012",
        "currency": "USD",
        "shipping_amount": Decimal("4.95"),
        "updated_at": datetime(2025, 1, 3, 8, 20, 7, tzinfo=UTC),
        "total_amount": Decimal("9999999999.99"),
    }
    assert (found.read, found.tombstones, found.silent, found.dead.num_rows) == (5, 1, 0, 0)
    created, updated, gone, again = rows(found)
    assert {name: created[name] for name in expected} == expected
    assert created["committed_at"] == datetime(2025, 1, 3, 8, 20, 7, 123456, tzinfo=UTC)
    assert [(row["op"], row["lsn"], row["transaction_id"]) for row in (created, updated, gone, again)] == [
        *[("c", 27_310_912, 771), ("u", 27_311_584, 772), ("d", 27_312_000, 773), ("r", 27_400_000, 790)],
    ]
    paid_at = datetime(2025, 1, 3, 9, 0, 0, 120_000, tzinfo=UTC)
    assert (updated["status"], updated["shipping_amount"], updated["changed_at"]) == ("paid", Decimal("-0.01"), paid_at)
    assert {name: gone[name] for name in expected} == {name: updated[name] for name in expected}
    assert [row["kafka_offset"] for row in rows(found)] == [0, 1, 2, 4]
    assert list(found.snapshots) == ["false", "false", "false", "last_in_data_collection"]


def test_truncation_has_a_place_and_no_key() -> None:
    found = read(ORDERS, debezium("truncated"), key=None)
    (row,) = rows(found)
    assert (row["op"], row["order_id"], row["lsn"], row["inferred"]) == ("t", None, 27_399_000, False)


def test_messages_that_tell_no_change_are_counted() -> None:
    told = b'{"op":"m","message":{"prefix":"x","content":"eA=="},"source":{"lsn":1,"ts_ms":1}}'
    found = read(ORDERS, told, b'{"ts_ms":1735000000000}', None, key=b'{"serverName":"dbserver1"}')
    assert (found.read, found.silent, found.tombstones, found.history.num_rows, found.dead.num_rows) == (3, 2, 1, 0, 0)


def test_deletion_without_an_old_row_has_the_key_of_the_message() -> None:
    alone = ORDER | {"op": "d", "before": None, "after": None}
    key_only = alone | {"before": {"order_id": "O1", "status": None}}
    found = read(ORDERS, *(json.dumps(each).encode() for each in (alone, key_only)))
    assert [(row["op"], row["order_id"], row["status"], row["changed_at"]) for row in rows(found)] == [
        ("d", "O1", None, None)
    ] * 2
    assert refusals(read(ORDERS, json.dumps(alone).encode(), key=None)) == [("missing_required", "order_id")]


def test_message_with_its_schema_is_read_by_its_schema() -> None:
    """Scale and unit are those that the schema tells, not those of the contract."""
    fields = [
        {"field": "order_id", "type": "string", "optional": False},
        *({"field": name, "type": "string", "optional": True} for name in ("customer_id", "status", "currency")),
        {"field": "ordered_at", "type": "int64", "name": "io.debezium.time.MicroTimestamp"},
        {"field": "updated_at", "type": "int64", "name": "io.debezium.time.Timestamp"},
        {"field": "total_amount", "type": "struct", "name": "io.debezium.data.VariableScaleDecimal"},
        {
            "field": "shipping_amount",
            "type": "bytes",
            "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "4", "connect.decimal.precision": "14"},
        },
    ]
    after = order_row() | {"shipping_amount": "AMFc", "ordered_at": 7, "updated_at": 1_735_732_800_000}
    after["total_amount"] = {"scale": 1, "value": "Dw=="}
    message = {
        "schema": {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": fields}]},
        "payload": ORDER | {"after": after},
    }
    (row,) = rows(read(ORDERS, json.dumps(message).encode()))
    assert (row["shipping_amount"], row["total_amount"]) == (Decimal("4.95"), Decimal("1.50"))
    assert (row["ordered_at"], row["updated_at"]) == (datetime(1970, 1, 1, 0, 0, 0, 7, tzinfo=UTC), NOON)
    after["shipping_amount"] = b64encode((49_501).to_bytes(3, "big")).decode()
    assert refusals(read(ORDERS, json.dumps(message).encode())) == [("out_of_range", "shipping_amount")]


GOOD: list[tuple[str, Any, Any]] = [
    ("shipping_amount", "AMFc", Decimal("495.00")),
    ("shipping_amount", {"scale": 4, "value": "AMFc"}, Decimal("4.95")),
    ("shipping_amount", {"scale": 0, "value": "BQ=="}, Decimal(5)),
    ("shipping_amount", {"scale": -2, "value": "BQ=="}, Decimal(500)),
    ("shipping_amount", "AADoNQ==", Decimal("594.45")),
    ("shipping_amount", 4.95, Decimal("4.95")),
    ("shipping_amount", 5, Decimal(5)),
    ("shipping_amount", "AOjUpQ//", Decimal("9999999999.99")),
    ("shipping_amount", "AAAAAAAAAAAAAQ==", Decimal("0.01")),
    ("updated_at", "2025-01-01T12:00:00Z", NOON),
    ("updated_at", "2025-01-01T14:00:00.000000000+02:00", NOON),
    ("updated_at", 1_735_732_800_000, NOON),
    ("updated_at", 1_735_732_800_000_000, NOON),
    ("updated_at", 1_735_732_800_000_000_000, NOON),
    ("updated_at", "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ("ordered_at", "2025-01-01T13:00:00Z", NOON + timedelta(hours=1)),
    ("channel", "\u2028\U0001f6d2", "\u2028\U0001f6d2"),
]
BAD: list[tuple[str, Any, str]] = [
    ("shipping_amount", {"scale": 3, "value": "AMFd"}, "out_of_range"),
    ("shipping_amount", {"scale": "2", "value": "AMFd"}, "bad_type"),
    ("shipping_amount", "AOjUpRAA", "out_of_range"),
    ("shipping_amount", b64encode(b"\x7f" * 9).decode(), "out_of_range"),
    ("shipping_amount", "12.34", "bad_type"),
    ("shipping_amount", "", "bad_type"),
    ("shipping_amount", "AA", "bad_type"),
    ("shipping_amount", 0.001, "out_of_range"),
    ("shipping_amount", True, "bad_type"),
    ("updated_at", "2025-01-01T12:00:00", "bad_type"),
    ("updated_at", "2025-02-30T12:00:00Z", "bad_type"),
    ("updated_at", "2025-01-01T12:00:60Z", "bad_type"),
    ("updated_at", "2025-01-01T12:00:00.0000001Z", "out_of_range"),
    ("updated_at", "+292278994-08-16T23:00:00.000000Z", "out_of_range"),
    ("updated_at", 1_735_732_800_000_000_001, "out_of_range"),
    ("updated_at", [2025], "bad_type"),
    ("updated_at", None, "missing_required"),
    ("ordered_at", "2025-01-01T13:00:00.000001Z", "future_event_time"),
    ("status", 5, "bad_type"),
    ("status", "__debezium_unavailable_value", "missing_required"),
    ("order_id", None, "missing_required"),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD, ids=str)
def test_unusual_values_are_read_exactly(name: str, value: Any, expected: Any) -> None:
    (row,) = rows(read(ORDERS, json.dumps(ORDER | {"after": order_row() | {name: value}}).encode()))
    assert row[name] == expected


@pytest.mark.parametrize(("name", "value", "reason"), BAD, ids=str)
def test_values_that_do_not_fit_are_refused(name: str, value: Any, reason: str) -> None:
    text = json.dumps(ORDER | {"after": order_row() | {name: value}}).encode()
    found = read(ORDERS, text)
    assert (refusals(found), rows(found)) == ([(reason, name)], [])
    (letter,) = found.dead.to_pylist()
    assert (letter["source_topic"], letter["value"], letter["kafka_offset"]) == ("dbserver1.public.orders", text, 0)


def test_a_deletion_stays_one_though_its_old_row_is_bad() -> None:
    for name, value, _ in BAD:
        if name != "order_id":
            before = order_row() | {name: value}
            (row,) = rows(read(ORDERS, json.dumps(ORDER | {"op": "d", "before": before, "after": None}).encode()))
            assert (row["op"], row["order_id"], row["customer_id"]) == ("d", "O1", None)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"op": "x"}, ("not_allowed", "op")),
        ({"op": None}, ("missing_required", "op")),
        ({"after": None}, ("missing_required", "after")),
        ({"after": [1]}, ("malformed_record", None)),
        ({"source": None}, ("missing_required", "source.lsn")),
        ({"source": {"lsn": 1}}, ("missing_required", "source.ts_us")),
        ({"source": {"lsn": "1", "ts_ms": 1}}, ("bad_type", "source.lsn")),
        ({"source": {"lsn": 2**63, "ts_ms": 1}}, ("out_of_range", "source.lsn")),
        ({"source": {"lsn": 1, "ts_us": 2**62}}, ("out_of_range", "source.ts_us")),
    ],
    ids=str,
)
def test_envelopes_that_cannot_be_placed_are_refused(change: dict[str, Any], refusal: tuple[str, str | None]) -> None:
    assert refusals(read(ORDERS, json.dumps(ORDER | change).encode())) == [refusal]


GARBAGE = [
    (b"", "malformed_record"),
    (b"\x00\x01\xff", "bad_encoding"),
    (b"nothing", "malformed_record"),
    (b'"text"', "malformed_record"),
    (b"[" * 100_000, "malformed_record"),
    (b'{"op":' * 5_000, "malformed_record"),
    (json.dumps(ORDER).encode()[:-1], "malformed_record"),
    (json.dumps(ORDER).encode() + b"x", "malformed_record"),
    (json.dumps(ORDER).encode().replace(b"placed", b"pla\xffced"), "bad_encoding"),
    (json.dumps(ORDER | {"before": "@"}).encode().replace(b"@", b"\xc3"), "bad_encoding"),
    (json.dumps(ORDER).encode().replace(b"placed", b"\\ud800"), "malformed_record"),
]


@pytest.mark.parametrize(("value", "reason"), GARBAGE, ids=[reason for _, reason in GARBAGE])
def test_garbage_becomes_a_letter_and_harms_no_neighbour(value: bytes, reason: str) -> None:
    good = json.dumps(ORDER).encode()
    found = read(ORDERS, good, value, good)
    assert ([name for name, _ in refusals(found)], found.history.num_rows) == ([reason], 2)
    assert found.dead.column("value").to_pylist() == [value]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["order_id", "shipping_amount", "ordered_at", "status", "new", "neu é"]


@given(
    st.lists(
        st.binary(max_size=40)
        | JSON.map(lambda each: json.dumps(each).encode())
        | st.tuples(
            st.dictionaries(st.sampled_from(["op", "before", "source", "schema", "payload"]), JSON, max_size=2),
            st.dictionaries(
                st.sampled_from(FIELDS), JSON | st.from_regex(r"[A-Za-z0-9+/]{0,12}={0,2}", fullmatch=True)
            ),
            st.sampled_from(["c", "d", "u", "r"]),
        ).map(
            lambda made: json.dumps(
                ORDER | {"op": made[2], "before" if made[2] == "d" else "after": order_row() | made[1]} | made[0],
                ensure_ascii=False,
            ).encode(errors="surrogatepass")
        ),
        max_size=6,
    )
)
@settings(max_examples=200, deadline=None)
@example([json.dumps(ORDER | {"after": order_row() | {"new": 1.10}}).encode()])
def test_at_once_and_one_by_one_are_the_same(values: Sequence[bytes]) -> None:
    """Whatever comes: all is accounted for, and a message means the same on both ways through the decoder."""
    at_once = read(ORDERS, *values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding._Batch, "take", lambda *_: False)
        careful = read(ORDERS, *values)
    assert at_once.history.num_rows + at_once.dead.num_rows + at_once.silent == len(values)
    assert at_once.history.equals(careful.history)
    assert at_once.dead.equals(careful.dead)
    assert list(at_once.snapshots) == list(careful.snapshots)


def test_fields_that_the_contract_does_not_know_are_kept_letter_by_letter() -> None:
    after = json.dumps(order_row())[:-1] + ', "gift":true, "note \\"é\\"": {"a":1.10}, "rank":12345678901234567890}'
    text = json.dumps(ORDER | {"after": "@"}).replace('"@"', after).encode()
    plain = json.dumps(ORDER).encode()
    found = rows(read(ORDERS, plain, text, plain, text))
    assert [row["more"] for row in found] == [
        *(None, '{"gift":true,"note \\"é\\"":{"a":1.10},"rank":12345678901234567890}') * 2,
    ]
    assert json.loads(found[1]["more"])['note "é"'] == {"a": 1.1}
    assert {row["status"] for row in found} == {"placed"}


def test_column_dropped_at_the_source_is_null_if_it_may_be() -> None:
    without = {name: value for name, value in order_row().items() if name != "channel"}
    assert rows(read(ORDERS, json.dumps(ORDER | {"after": without}).encode()))[0]["channel"] is None
    del without["status"]
    assert refusals(read(ORDERS, json.dumps(ORDER | {"after": without}).encode())) == [("missing_required", "status")]


def test_a_whole_number_may_be_wide() -> None:
    narrow = ShopTable("orders", (*ORDERS.columns, ShopColumn("n", "int", "integer", required=False)), ORDERS.key)
    wide = ShopTable("orders", (*ORDERS.columns, ShopColumn("n", "long", "bigint", required=False)), ORDERS.key)
    for table, limit in ((narrow, 2**31), (wide, 2**63)):
        for number, fits in ((limit - 1, True), (-limit, True), (limit, False), (-limit - 1, False)):
            value = json.dumps(ORDER | {"after": order_row() | {"n": number}}).encode()
            batch = decoding._Batch(table)
            assert batch.take(0, value) is fits


def test_large_transaction() -> None:
    """50,000 rows of one transaction: none is lost, in order, with the amounts that were written."""
    count = 50_000
    made = [order_row() | {"order_id": f"O{n}", "shipping_amount": amount(n * 7 - 90_000)} for n in range(count)]
    lines = [
        json.dumps(ORDER | {"after": row, "source": ORDER["source"] | {"lsn": n}}).encode()
        for n, row in enumerate(made)
    ]
    found = read(ORDERS, *lines)
    assert found.history.column("order_id").to_pylist() == [f"O{n}" for n in range(count)]
    assert found.history.column("shipping_amount").to_pylist() == [Decimal(n * 7 - 90_000) / 100 for n in range(count)]
    assert found.history.column("lsn").to_pylist() == list(range(count))
    assert set(found.history.column("committed_at").to_pylist()) == {NOON}


def amount(cents: int) -> str:
    return b64encode(
        cents.to_bytes((cents if cents >= 0 else ~cents).bit_length() // 8 + 1, "big", signed=True)
    ).decode()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_contract_of_the_history_holds_all_that_the_shop_has(table: ShopTable) -> None:
    contract = history_contract(table)
    assert contract.names[: len(table.columns)] == table.names
    assert [column.type for column in contract.columns[: len(table.columns)]] == [c.type for c in table.columns]
    known = {column.name: column.classification for column in get_contract(f"silver.{table.name}").columns}
    for column in contract.columns[: len(table.columns)]:
        assert column.classification == known.get(column.name, "none")
    assert len(set(contract.names)) == len(contract.names)
    assert to_arrow(contract).field("lsn").nullable is False
    assert shop_table(get_contract(f"silver.{table.name}")).key == table.key


def test_dates_are_days() -> None:
    customer = {"customer_id": "C1", "registered_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}
    table = shop_tables()["customers"]
    for value, expected in ((-1, date(1969, 12, 31)), ("1984-07-21", date(1984, 7, 21)), (2_932_896, date.max)):
        text = json.dumps(ORDER | {"after": customer | {"birth_date": value}}).encode()
        assert rows(read(table, text))[0]["birth_date"] == expected
    for bad, reason in ((2_932_897, "out_of_range"), ("yesterday", "bad_type"), (1.5, "bad_type")):
        text = json.dumps(ORDER | {"after": customer | {"birth_date": bad}}).encode()
        assert refusals(read(table, text)) == [(reason, "birth_date")]
