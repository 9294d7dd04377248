"""Whatever order rows come in, however often, and whatever the store refuses for a while: the same store."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (  # type: ignore[import-untyped]
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from hypothesis import given
from hypothesis import strategies as st

from c360.features import retrying
from c360.features.errors import StoreStopped
from c360.features.rows import Rows, record_of
from c360.features.writing import Writer
from tests.unit.features.fake_dynamodb import FakeDynamoDb
from tests.unit.features.feature_tables import TABLES, alert, segment

if TYPE_CHECKING:
    from c360.features.rows import Row

Record = dict[str, Any]
PASSING = [
    "",
    "lost",
    "away",
    "conflict",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "InternalServerError",
]
# Of a customer's row everything follows from (customer, version, moment), as it does in a stream.
RECORDS = st.one_of(
    st.builds(segment, st.integers(0, 5), st.integers(1, 4), st.integers(0, 3)),
    st.builds(alert, st.integers(0, 3), st.integers(1, 3), st.integers(0, 3)),
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.0001)
    monkeypatch.setattr(retrying, "LONGEST_WAIT_S", 0.001)


def read(record: Record) -> Row:
    table = TABLES["customer_segments" if "segment" in record else "anomaly_alerts"]
    return Rows(table).of(str(record[table.key]).encode(), json.dumps(record).encode())


def stored(fake: FakeDynamoDb) -> dict[str, Record]:
    by_store = {f"t-{table.store}": table for table in TABLES.values()}
    return {key: record_of(by_store[store], item) for (store, key), item in fake.items.items()}


def wanted(records: list[Record]) -> dict[str, Record]:
    """By sorting, as nobody else does it here: the last of each key."""
    ordered = sorted(records, key=lambda record: (record["version"], record["effective_at"]))
    return {str(record.get("alert_id", record["customer_id"])): record for record in ordered}


@given(st.lists(RECORDS, max_size=40), st.data())
def test_any_order_any_repetition_and_then_all_gives_the_same_store(records: list[Record], data: st.DataObject) -> None:
    before = data.draw(st.lists(st.sampled_from(records), max_size=40)) if records else []
    sequence = [*before, *data.draw(st.permutations(records))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sequence)), max_size=4)))
    fake = FakeDynamoDb(iter(data.draw(st.lists(st.sampled_from(PASSING), max_size=12))))
    writer = Writer(fake, "t-", threading.Event())
    try:
        done = [
            writer.write([read(record) for record in sequence[start:end]])
            for start, end in zip([0, *cuts], [*cuts, len(sequence)], strict=True)
        ]
    finally:
        writer.close()
    assert stored(fake) == wanted(records)
    assert sum(each.written + each.superseded for each in done) == len(sequence)
    assert not any(each.refused for each in done)


def test_a_lost_answer_counts_as_written_and_is_not_written_twice() -> None:
    fake, retries = FakeDynamoDb(iter(["lost", "away", ""])), []
    writer = Writer(fake, "t-", threading.Event(), lambda: retries.append(1))
    done = writer.write([read(segment(number, 1, 0)) for number in range(5)])
    writer.close()
    assert (done.written, done.superseded, len(retries)) == (5, 0, 2)


def test_a_row_that_the_store_cannot_keep_is_named_and_all_others_are_stored() -> None:
    records = [segment(number, 1, 0, segment="unstorable" if number in {3, 77} else "New") for number in range(120)]
    fake = FakeDynamoDb(iter(()))
    writer = Writer(fake, "t-", threading.Event())
    done = writer.write([read(record) for record in records])
    writer.close()
    assert sorted(row.key for row in done.refused) == ["C0000003", "C0000077"]
    assert stored(fake) == wanted([record for record in records if record["segment"] == "New"])


def test_a_refusal_that_no_waiting_mends_is_raised() -> None:
    writer = Writer(FakeDynamoDb(iter(["AccessDeniedException"])), "t-", threading.Event())
    with pytest.raises(ClientError, match="AccessDenied"):
        writer.write([read(segment(1, 1, 1))])
    writer.close()


def test_an_end_while_the_store_is_throttled_is_an_end() -> None:
    ended = threading.Event()
    fake = FakeDynamoDb(iter(["ThrottlingException"] * 1_000_000))
    writer = Writer(fake, "t-", ended)
    threading.Timer(0.2, ended.set).start()
    with pytest.raises(StoreStopped):
        writer.write([read(segment(1, 1, 1))])
    writer.close()
    assert fake.items == {}


def test_a_thousand_rows_are_ten_requests() -> None:
    fake = FakeDynamoDb(iter(()))
    writer = Writer(fake, "t-", threading.Event())
    assert writer.write([read(segment(number, 1, 0)) for number in range(1000)]).written == 1000
    writer.close()
    assert fake.requests == [100] * 10


def test_a_store_that_is_not_there_yet_is_waited_for() -> None:
    """All of a stack start at once, and the sink is faster than DynamoDB."""
    for error in (ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError):
        assert retrying.passes(error(endpoint_url="http://127.0.0.1"))
    assert not retrying.passes(NoCredentialsError())
