"""Each kind of bad input in a landing file or a value, and what becomes of it: one test, one visible outcome.

Files go through the real bronze and silver contracts. A file as a whole is refused with an error that names the mend;
a record is accepted (repaired where a rule says so) or rejected with its reason, column and text; none is lost.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from c360.conform import Existing, Outcome, conform
from c360.contracts import get_contract
from c360.contracts.model import Source
from c360.errors import LandingError
from c360.ingest import bronze
from c360.ingest.files import discover
from c360.ingest.readers import read_landing_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DAY = date(2025, 3, 1)
ORDER = {
    "order_id": "O1",
    "customer_id": "C1",
    "ordered_at": "2025-03-01T10:00:00Z",
    "status": "placed",
    "channel": "web",
    "location_id": "L1",
    "currency": "USD",
    "shipping_amount": "4.99",
    "updated_at": "2025-03-01T10:00:00Z",
}
LOCATION = {
    "location_id": "L1",
    "street": "1 Main Street",
    "city": "Oslo",
    "postal_code": "0150",
    "region": "",
    "country_code": "NO",
    "latitude": "59.91",
    "longitude": "10.75",
    "updated_at": "2025-03-01T10:00:00Z",
}
CUSTOMER = {
    "customer_id": "C1",
    "first_name": "Ann",
    "last_name": "Lee",
    "email": "ann@example.com",
    "phone": "",
    "birth_date": "1990-05-01",
    "location_id": "L1",
    "language": "en",
    "loyalty_tier": "gold",
    "acquisition_channel": "search",
    "registered_at": "2024-01-01T00:00:00Z",
    "updated_at": "2025-03-01T10:00:00Z",
}
CONSENT = {
    "customer_id": "C1",
    "purpose": "profiling",
    "granted": True,
    "source": "web",
    "updated_at": "2025-03-01T10:00:00Z",
}
PRODUCT = {"product_id": "P1", "product_name": "Lamp", "category": "Home", "status": "active", "unit_price": "9.50"}


class Landing:
    """A landing folder of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, table: str, data: bytes, extension: str, name: str = "f") -> tuple[Path, str]:
        relative = f"system/{table}/{DAY}/{name}.{extension}"
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path, relative

    def read(self, table: str, data: bytes, extension: str = "csv") -> pa.Table:
        path, relative = self.file(table, data, extension)
        return read_landing_file(path, relative, get_contract(f"bronze.{table}"), DAY)

    def take(self, table: str, data: bytes, extension: str = "csv", existing: Existing | None = None) -> Outcome:
        return conform(self.read(table, data, extension), get_contract(f"silver.{table}"), existing)

    def refuse(self, table: str, data: bytes, extension: str = "csv") -> str:
        with pytest.raises(LandingError) as refusal:
            self.read(table, data, extension)
        return str(refusal.value)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def csv_of(*records: Mapping[str, str], header: list[str] | None = None) -> bytes:
    names = header or list(records[0])
    return "\n".join([",".join(names), *(",".join(r[n] for n in names) for r in records), ""]).encode()


def jsonl_of(*records: Mapping[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def parquet_of(**columns: pa.Array[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def fates(outcome: Outcome) -> dict[int, str]:
    """What became of each record, by its ordinal."""
    found = {row["_source_row"]: "accepted" for row in outcome.accepted.to_pylist()}
    found |= {r["source_row"]: f"deduplicated, kept {r['kept_row']}" for r in outcome.deduplicated.to_pylist()}
    for row in outcome.rejected.to_pylist():
        found[row["source_row"]] = " ".join(filter(None, (row["reason"], row["column_name"])))
    assert len(found) + outcome.skipped == outcome.received
    return dict(sorted(found.items()))


def one(landing: Landing, table: str, record: Mapping[str, str], **changed: str) -> str:
    """What becomes of one record after the named cells are changed."""
    return fates(landing.take(table, csv_of({**record, **changed})))[1]


def value(landing: Landing, table: str, record: Mapping[str, str], column: str, text: str) -> Any:
    [row] = landing.take(table, csv_of({**record, column: text})).accepted.to_pylist()
    return row[column]


# --- whole files


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_empty_file_is_refused(landing: Landing, extension: str) -> None:
    message = landing.refuse("orders", b"", extension)
    assert message.startswith(f"system/orders/{DAY}/f.{extension} is ")
    assert "Mend: land it" in message or "Mend: land the complete file again" in message


def test_header_alone_is_a_day_without_records(landing: Landing) -> None:
    assert fates(landing.take("orders", csv_of(header=list(ORDER)))) == {}


@pytest.mark.parametrize("cut", [30, 60])
def test_truncated_csv_loses_its_last_record_only_and_keeps_its_text(landing: Landing, cut: int) -> None:
    data = csv_of(ORDER, {**ORDER, "order_id": "O2"})[:-cut]
    outcome = landing.take("orders", data)
    assert fates(outcome) == {1: "accepted", 2: "malformed_record"}
    assert outcome.rejected.to_pylist()[0]["record"] == data.decode().splitlines()[-1]


def test_csv_truncated_inside_quotes(landing: Landing) -> None:
    data = csv_of(LOCATION) + b'L2,"12 Long\nStreet,Oslo'
    assert fates(landing.take("locations", data)) == {1: "accepted", 2: "malformed_record", 3: "malformed_record"}


def test_truncated_json_lines_lose_the_last_record_only(landing: Landing) -> None:
    data = jsonl_of(CONSENT, {**CONSENT, "purpose": "third_party"})[:-20]
    assert fates(landing.take("consents", data, "jsonl")) == {1: "accepted", 2: "malformed_record"}


def test_truncated_parquet_is_refused(landing: Landing) -> None:
    data = parquet_of(product_id=pa.array(["P1"]))
    assert "is no complete Parquet file" in landing.refuse("products", data[:-10], "parquet")


def test_csv_named_parquet_is_refused(landing: Landing) -> None:
    assert "of another format" in landing.refuse("products", csv_of(PRODUCT), "parquet")


def test_wrong_delimiter_is_refused_by_name(landing: Landing) -> None:
    message = landing.refuse("orders", csv_of(ORDER).replace(b",", b";"))
    assert "separates its columns by semicolons (';'), not by commas. Mend: " in message


def test_utf16_is_refused(landing: Landing) -> None:
    message = landing.refuse("orders", csv_of(ORDER).decode().encode("utf-16"))
    assert "UTF-16" in message
    assert "iconv" in message


def test_latin1_rejects_exactly_the_records_that_are_no_utf8(landing: Landing) -> None:
    data = csv_of(CUSTOMER, {**CUSTOMER, "customer_id": "C2", "first_name": "Zoë"}).decode().encode("latin-1")
    outcome = landing.take("customers", data)
    assert fates(outcome) == {1: "accepted", 2: "bad_encoding"}
    assert r"C2,Zo\xeb,Lee" in outcome.rejected.to_pylist()[0]["record"]


def test_byte_order_mark_is_no_part_of_the_first_column(landing: Landing) -> None:
    assert fates(landing.take("orders", b"\xef\xbb\xbf" + csv_of(ORDER))) == {1: "accepted"}
    assert fates(landing.take("consents", b"\xef\xbb\xbf" + jsonl_of(CONSENT), "jsonl")) == {1: "accepted"}


def test_missing_required_column_is_refused(landing: Landing) -> None:
    message = landing.refuse("orders", csv_of(ORDER, header=[n for n in ORDER if n != "currency"]))
    assert "lacks the required column 'currency'" in message


def test_missing_optional_column_reads_as_null(landing: Landing) -> None:
    outcome = landing.take("orders", csv_of(ORDER, header=[n for n in ORDER if n != "channel"]))
    assert [row["channel"] for row in outcome.accepted.to_pylist()] == [None]


def test_extra_column_is_kept_in_bronze_and_changes_nothing(landing: Landing) -> None:
    raw = landing.read("orders", csv_of({**ORDER, "gift": "yes"}))
    assert raw.column("_extra").to_pylist() == ['{"gift":"yes"}']
    assert fates(conform(raw, get_contract("silver.orders"))) == {1: "accepted"}


def test_reordered_columns_are_read_by_name(landing: Landing) -> None:
    outcome = landing.take("orders", csv_of(ORDER, header=list(reversed(ORDER))))
    assert [row["order_id"] for row in outcome.accepted.to_pylist()] == ["O1"]


def test_renamed_column_is_refused_with_the_name_to_give_back(landing: Landing) -> None:
    renamed = {("curency" if name == "currency" else name): text for name, text in ORDER.items()}
    assert "Mend: rename 'curency' to 'currency'" in landing.refuse("orders", csv_of(renamed))
    renamed = {("Granted" if name == "granted" else name): item for name, item in CONSENT.items()}  # type: ignore[misc]
    assert "Mend: rename 'Granted' to 'granted'" in landing.refuse("consents", jsonl_of(renamed), "jsonl")


def test_file_changed_after_it_was_ingested_is_refused(landing: Landing) -> None:
    landing.file("orders", csv_of(ORDER), "csv")
    source = Source("system", "orders", "csv")
    ingested = {f.relative: f.sha256 for f in discover(landing.folder, source)}
    assert len(bronze.plan(discover(landing.folder, source), ingested).unchanged) == 1
    landing.file("orders", csv_of({**ORDER, "status": "paid"}), "csv")
    with pytest.raises(LandingError, match=r"changed after it was ingested.*land the correction as a new file"):
        bronze.plan(discover(landing.folder, source), ingested)


# --- records


def test_malformed_records_keep_their_place_and_text(landing: Landing) -> None:
    good = csv_of(ORDER).decode()
    data = good + "O2,too,few\n\n" + good.splitlines()[1].replace("O1", "O3") + "\n" + ",".join("x" * 12) + "\n"
    outcome = landing.take("orders", data.encode())
    assert fates(outcome) == {
        1: "accepted",
        2: "malformed_record",
        3: "malformed_record",
        4: "accepted",
        5: "malformed_record",
    }
    assert [r["record"] for r in outcome.rejected.to_pylist()] == ["O2,too,few", "", ",".join("x" * 12)]


@pytest.mark.parametrize(
    "line", ['{"customer_id":', "[1,2]", '"text"', "null", "", '{"purpose":"a","purpose":"b"}', '{"granted":NaN}']
)
def test_json_that_is_no_record(landing: Landing, line: str) -> None:
    data = line.encode() + b"\n" + jsonl_of(CONSENT)
    assert fates(landing.take("consents", data, "jsonl")) == {1: "malformed_record", 2: "accepted"}


def test_duplicates_that_are_equal_after_standardising_are_recorded(landing: Landing) -> None:
    messy = {**ORDER, "status": " PLACED ", "shipping_amount": "4.990", "updated_at": "2025-03-01 11:00:00+01:00"}
    outcome = landing.take("orders", csv_of(ORDER, ORDER, messy))
    assert fates(outcome) == {1: "accepted", 2: "deduplicated, kept 1", 3: "deduplicated, kept 1"}


def test_duplicate_key_with_another_body_is_rejected_the_first_stays(landing: Landing) -> None:
    other = {**ORDER, "status": "paid"}
    outcome = landing.take("orders", csv_of(ORDER, other, ORDER))
    assert fates(outcome) == {1: "accepted", 2: "conflicting_duplicate", 3: "deduplicated, kept 1"}
    again = landing.take("orders", csv_of({**ORDER, "order_id": "O0"}, other), existing=Existing(outcome.accepted))
    assert fates(again) == {1: "accepted", 2: "conflicting_duplicate"}
    [rejected] = again.rejected.to_pylist()
    assert rejected["record_key"] == "O1|2025-03-01T10:00:00.000000Z"
    assert json.loads(rejected["record"]) == other


def test_orphans_are_accepted_their_parent_may_come_later(landing: Landing) -> None:
    assert one(landing, "orders", ORDER, customer_id="C-unknown", location_id="L-unknown") == "accepted"


def test_missing_required_value(landing: Landing) -> None:
    for blank in ("", "  ", "\t\u3000"):
        assert one(landing, "orders", ORDER, currency=blank) == "missing_required currency"
    assert one(landing, "orders", ORDER, channel=" ") == "accepted"


def test_the_first_failing_column_in_contract_order_is_the_reason(landing: Landing) -> None:
    assert (
        one(landing, "orders", ORDER, ordered_at="soon", status="gone", customer_id="")
        == "missing_required customer_id"
    )
    assert one(landing, "orders", ORDER, ordered_at="soon", status="gone") == "bad_type ordered_at"


# --- numbers


@pytest.mark.parametrize("text", ["NaN", "nan", "inf", "-Infinity", "+INF", "abc", "1 000", "0x10", "1e", "--1"])
def test_no_finite_number_is_a_bad_type(landing: Landing, text: str) -> None:
    assert one(landing, "locations", LOCATION, latitude=text) == "bad_type latitude"
    assert one(landing, "orders", ORDER, shipping_amount=text) == "bad_type shipping_amount"


def test_infinity_and_nan_in_parquet_are_bad_types_too(landing: Landing) -> None:
    moment = pa.array([datetime(2025, 3, 1, tzinfo=UTC)] * 3)
    texts = {name: pa.array([text] * 3) for name, text in PRODUCT.items() if name not in ("product_id", "unit_price")}
    data = parquet_of(
        product_id=pa.array(["P1", "P2", "P3"]),
        **texts,
        unit_price=pa.array([1.5, float("nan"), 2.0]),
        weight_kg=pa.array([1.0, 1.0, float("inf")]),
        updated_at=moment,
    )
    outcome = landing.take("products", data, "parquet")
    assert fates(outcome) == {1: "accepted", 2: "bad_type unit_price", 3: "bad_type weight_kg"}


def test_negative_zero_is_zero(landing: Landing) -> None:
    assert str(value(landing, "locations", LOCATION, "latitude", "-0")) == "0.0"
    assert str(value(landing, "orders", ORDER, "shipping_amount", "-0.00")) == "0.00"


def test_money_is_exact_or_refused(landing: Landing) -> None:
    assert str(value(landing, "orders", ORDER, "shipping_amount", "9999999999.99")) == "9999999999.99"
    assert str(value(landing, "orders", ORDER, "shipping_amount", "0.10000")) == "0.10"
    assert one(landing, "orders", ORDER, shipping_amount="0.105") == "bad_type shipping_amount"
    assert one(landing, "orders", ORDER, shipping_amount="1e2") == "bad_type shipping_amount"


def test_range_errors(landing: Landing) -> None:
    assert one(landing, "locations", LOCATION, latitude="90.0001") == "out_of_range latitude"
    assert one(landing, "locations", LOCATION, latitude="1e999") == "out_of_range latitude"
    assert one(landing, "orders", ORDER, shipping_amount="-0.01") == "out_of_range shipping_amount"
    assert one(landing, "orders", ORDER, shipping_amount="10000000000") == "out_of_range shipping_amount"
    assert one(landing, "customers", CUSTOMER, customer_id="C" * 65) == "out_of_range customer_id"
    assert one(landing, "customers", CUSTOMER, first_name="é" * 120) == "accepted"


def test_values_that_are_not_allowed(landing: Landing) -> None:
    assert one(landing, "orders", ORDER, status="lost") == "not_allowed status"
    assert one(landing, "orders", ORDER, currency="EUR") == "not_allowed currency"
    assert one(landing, "customers", CUSTOMER, email="ann at example") == "not_allowed email"
    assert one(landing, "locations", LOCATION, country_code="NOR") == "not_allowed country_code"


# --- time


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31", "2101-01-01"])
def test_years_that_cannot_be_meant(landing: Landing, text: str) -> None:
    assert one(landing, "orders", ORDER, ordered_at=text) == "out_of_range ordered_at"


def test_years_of_birth(landing: Landing) -> None:
    assert one(landing, "customers", CUSTOMER, birth_date="0001-01-01") == "out_of_range birth_date"
    assert one(landing, "customers", CUSTOMER, birth_date="9999-12-31") == "out_of_range birth_date"
    assert one(landing, "customers", CUSTOMER, birth_date="1900-01-01") == "accepted"


@pytest.mark.parametrize(
    "text", ["2025-03-01T10:00:00", "2025-03-01 10:00", "2025-03-01T12:00:00+02:00", "2025-03-01T10:00:00.000000000Z"]
)
def test_no_time_zone_is_utc(landing: Landing, text: str) -> None:
    assert value(landing, "orders", ORDER, "ordered_at", text) == datetime(2025, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["1740823200", "1740823200000", "1740823200.5"])
def test_epoch_seconds_and_milliseconds_are_not_guessed(landing: Landing, text: str) -> None:
    assert one(landing, "orders", ORDER, ordered_at=text) == "bad_type ordered_at"


@pytest.mark.parametrize(
    "text", ["2025-02-29", "2025-03-01T24:00:00Z", "2025-03-01T10:00:60Z", "03/01/2025", "2025-3-1", "20250301"]
)
def test_no_calendar_date_or_other_format(landing: Landing, text: str) -> None:
    assert one(landing, "orders", ORDER, ordered_at=text) == "bad_type ordered_at"


# --- text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("An\x00n", "Ann"),
        ("\u202eAnn\u202c", "Ann"),
        ("\u2066Ann\u2069", "Ann"),
        ("An\u200bn\ufeff", "Ann"),
        ("  Ann \t Marie ", "Ann Marie"),
        ("Zoe\u0308", "Zoë"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # the joiner belongs to the spelling
        ("\x00\u202e", None),
    ],
)
def test_nul_and_direction_overrides_leave_names(landing: Landing, text: str, clean: str | None) -> None:
    assert value(landing, "customers", CUSTOMER, "first_name", text) == clean


def test_phone_numbers_become_e164_where_they_parse(landing: Landing) -> None:
    for text in ("+1 (415) 555-2671", "0014155552671", " +14155552671 "):
        assert value(landing, "customers", CUSTOMER, "phone", text) == "+14155552671"
    assert value(landing, "customers", CUSTOMER, "phone", " call me ") == "call me"
    assert value(landing, "customers", CUSTOMER, "phone", "415-555-2671") == "415-555-2671"
