"""Masks, tokens and look-ups: what they keep is written out here, not computed by the product."""

from __future__ import annotations

import hashlib
import hmac
import string
import time
from datetime import date

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from c360.contracts.loader import load_contracts
from c360.contracts.model import Column
from c360.errors import SettingsError
from c360.privacy.keyed import Tokens, hash_key, lookup_hash, normalise
from c360.privacy.masking import Presentation, mask, masked_sql, present, row_presenter
from c360.settings import Settings

KEY = b"a key of this test, not of any product"
MASKED_COLUMNS = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "full_name",
    "birth_date",
    "postal_code",
    "street",
    "city",
)

EXPECTED = [
    ("email", "zoe.garcia@mail.example.com", "z***@***.com"),
    ("email", "ζωή@παράδειγμα.ελ", "ζ***@***.ελ"),
    ("email", "no-at.example.com", "***"),
    ("email", "two@at@example.com", "***"),
    ("email", "@example.com", "***"),
    ("email", "root@localhost", "***"),
    ("email", "a@b.", "***"),
    ("email", "", "***"),
    ("phone", "+14155552671", "***71"),
    ("phone", "(030) 12 34-56", "***56"),
    ("phone", "112", "***"),
    ("phone", "٠١٢٣٤٥٦٧٨٩", "***"),
    ("first_name", "Zoë", "Z***"),
    ("first_name", "李", "***"),
    ("last_name", "𠮷野", "𠮷***"),
    ("full_name", "Zoë García", "Z***"),
    ("birth_date", "1987-03-14", "1987"),
    ("birth_date", "14.03.1987", "***"),
    ("postal_code", "10115", "10***"),
    ("postal_code", "SW1A 1AA", "SW***"),
    ("postal_code", "101", "***"),
    ("street", "Unter den Linden 1", "***"),
    ("city", "Berlin", "***"),
    ("location_id", "L0000567", "***"),
]


@pytest.mark.parametrize(("name", "value", "expected"), EXPECTED)
def test_what_a_mask_keeps(name: str, value: str, expected: str) -> None:
    assert mask(Column(name, "string"), value) == expected


def test_null_stays_null_and_dates_are_masked_like_their_text() -> None:
    for name in MASKED_COLUMNS:
        assert mask(Column(name, "string"), None) is None
    assert mask(Column("birth_date", "date"), date(987, 3, 14)) == "0987"
    assert mask(Column("credit", "decimal(9,2)"), 12.5) == "***"


@given(
    st.sampled_from(MASKED_COLUMNS),
    st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=1),
)
def test_a_mask_never_contains_what_it_masks(name: str, value: str) -> None:
    masked = mask(Column(name, "string"), value)
    assert masked is not None
    assert value not in masked


@pytest.mark.parametrize("value", ["alice@x.com", "al@x.com", "a@x.com"])
def test_an_email_mask_prints_neither_al_nor_the_name_of_the_domain(value: str) -> None:
    column = Column("email", "string")
    assert mask(column, value) == "a***@***.com"
    with duckdb.connect() as connection:
        assert connection.sql(f"SELECT {masked_sql(column, repr(value))}").fetchall() == [("a***@***.com",)]


@given(st.emails())
def test_of_an_address_only_the_first_letter_and_the_last_label_stay(value: str) -> None:
    masked = mask(Column("email", "string"), value)
    assert masked in {f"{value[0]}***@***.{value.rsplit('.', maxsplit=1)[-1]}", "***"}


def test_values_in_bulk_are_masked_to_the_same_text() -> None:
    @hypothesis_settings(deadline=None, max_examples=30)
    @given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])), st.emails()), min_size=1))
    def same(values: list[str | None]) -> None:
        values += [value for _, value, _ in EXPECTED] + ["a\n@b\n.com\n", "\0@\0.\0\0", "x" * 40 + "@y.z" + "z" * 30]
        frame = pl.DataFrame(dict.fromkeys(MASKED_COLUMNS, values), schema=dict.fromkeys(MASKED_COLUMNS, pl.String))
        for name in MASKED_COLUMNS:
            column = Column(name, "string")
            found = connection.sql(f"SELECT {masked_sql(column)} FROM frame").fetchall()
            assert [row[0] for row in found] == [mask(column, value) for value in values]
        assert frame.height == len(values)

    with duckdb.connect() as connection:
        same()


def test_dates_in_bulk_are_masked_to_the_same_text() -> None:
    column, days = (
        Column("birth_date", "date"),
        [date(1, 1, 1), date(987, 3, 14), date(1987, 3, 14), date(9999, 12, 31)],
    )
    frame = pl.DataFrame({"birth_date": [None, *days]})
    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT {masked_sql(column)} FROM frame").fetchall()
    assert [row[0] for row in found] == [None, *(mask(column, day) for day in days)]
    assert frame.height == 5


def test_a_million_customers_are_masked_quickly() -> None:
    with duckdb.connect() as connection:
        connection.sql("SET threads = 1")
        connection.sql(
            "CREATE TABLE c AS SELECT 'person' || i || '@mail.example.com' AS email, '+4930' || i AS phone,"
            " 'Zoë' || i AS first_name, 'García' || i AS last_name, 'Street ' || i AS street, 'City' || i AS city,"
            " DATE '1950-01-01' + (i % 20000)::INT AS birth_date, '1' || i AS postal_code FROM range(1000000) t(i)"
        )
        columns = [name for name in MASKED_COLUMNS if name != "full_name"]
        start = time.process_time()
        connection.sql(
            "CREATE TABLE m AS SELECT "
            + ", ".join(f"{masked_sql(Column(n, 'string'))} AS {n}" for n in columns)
            + " FROM c"
        )
        assert time.process_time() - start < 5, "about a second where nothing else runs"


def test_a_row_shows_what_the_presentations_say_and_nothing_without_a_contract() -> None:
    columns = load_contracts()["gold.customer_360"].columns
    row = {
        "customer_id": "C1", "first_name": "Zoë", "email": "zoe@x.com", "phone": None, "birth_date": date(1987, 3, 14),
        "country_code": "DE", "password": "leaks",
    }  # fmt: skip
    show = row_presenter(
        columns,
        {"none": Presentation.CLEAR, "direct": Presentation.MASKED, "quasi": Presentation.MASKED},
        {"customer_id": Presentation.TOKENISED, "first_name": Presentation.CLEAR, "email": Presentation.WITHHELD},
        Tokens(KEY),
    )
    shown = show(row)
    assert list(shown) == ["customer_id", "first_name", "phone", "birth_date", "country_code"]
    assert shown == {**shown, "first_name": "Zoë", "phone": None, "birth_date": "1987", "country_code": "DE"}
    assert shown["customer_id"] != "C1"
    nothing = row_presenter(columns, {"none": Presentation.CLEAR}, {})
    assert nothing(row) == {"customer_id": "C1", "country_code": "DE"}, "a class that is not named is withheld"
    with pytest.raises(ValueError, match="no key"):
        row_presenter(columns, {"none": Presentation.TOKENISED}, {})
    assert present(Column("email", "string"), "zoe@x.com", Presentation.WITHHELD) is None


def test_tokens_stand_for_one_value_of_one_column_and_depend_on_the_key() -> None:
    token = Tokens(KEY).of("customer_id")
    assert token("C1") == token("C1") == Tokens(KEY).of("customer_id")("C1")
    others = {token("C2"), Tokens(KEY).of("email")("C1"), Tokens(KEY + b"2").of("customer_id")("C1")}
    assert len(others | {token("C1")}) == 4
    assert set(token("C1")) <= set(string.ascii_lowercase + string.digits + "_")
    assert len({token(str(n)) for n in range(10_000)}) == 10_000


def test_a_look_up_is_a_keyed_hash_of_its_kind() -> None:
    own = hmac.new(KEY, b"c360/lookup/email", hashlib.sha256).digest()
    expected = hmac.new(own, b"zoe@x.com", hashlib.sha256).hexdigest()[:32]
    assert lookup_hash("email", "zoe@x.com", KEY) == expected
    assert lookup_hash("phone", "zoe@x.com", KEY) != expected


def test_what_a_caller_types_finds_what_silver_holds() -> None:
    assert normalise("email", "  Zoe@X.COM\u00a0") == "zoe@x.com"
    assert normalise("phone", "0049 30 123456") == normalise("phone", "+49 (30) 123456") == "+4930123456"
    assert normalise("email", " \t ") is None


def test_the_default_hash_key_is_refused_outside_the_local_profile() -> None:
    assert hash_key(Settings())
    for key in (None, "hunter2"):
        server = {"profile": "server", "warehouse": "file:///w", "catalog_uri": "sqlite:///c"}
        with pytest.raises(SettingsError, match="C360_API_HASH_KEY") as refusal:
            hash_key(Settings.model_validate(server | ({"api_hash_key": key} if key else {})))
        assert key is None or key not in str(refusal.value)
    assert hash_key(Settings.model_validate(server | {"api_hash_key": "x" * 32})) == b"x" * 32
