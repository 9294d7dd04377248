"""Each feature of a mapping's columns, against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c360.errors import LandingError
from c360.ingest.mapping import MappingError
from c360.ingest.mapping_sandbox import Sandbox

BERLIN = '{from: v, formats: ["%d.%m.%Y %H:%M", "%d.%m.%Y"], time_zone: Europe/Berlin}'
Convert = Callable[..., Any]


def column(ran: Any, name: str) -> list[str | None]:
    return [row[name] for row in ran.rows]


def test_copy_constant_key_and_default(convert: Convert) -> None:
    ran = convert(
        'product_id: {key: "P-{a}/{b}{{x}}"}\nproduct_name: a\n'
        'category: {value: "0.10"}\nbrand: {from: b, default: none}',
        "a,b\n 1 ,2\n3,\n",
    )
    assert column(ran, "product_id") == ["P-1/2{x}", None]
    assert column(ran, "product_name") == [" 1 ", "3"]  # a plain copy is as received
    assert column(ran, "category") == ["0.10", "0.10"]
    assert column(ran, "brand") == ["2", "none"]
    assert column(ran, "subcategory") == [None, None]
    assert ran.records == [1, 2]


def test_value_map_passes_unknown_values_on_so_that_silver_sees_them(convert: Convert) -> None:
    text = "s\nO\n\n F \nX\n"
    ran = convert("status: {from: s, map: {O: active, F: discontinued}}", text)
    assert column(ran, "status") == ["active", "discontinued", "X"]  # a blank line is no record
    ran = convert("status: {from: s, map: {O: active}, otherwise: discontinued, default: active}", "s,t\nO,\nX,\n,1\n")
    assert column(ran, "status") == ["active", "discontinued", "active"]
    ran = convert("brand: {from: s, map: {O: null}}", "s\nO\n")
    assert column(ran, "brand") == [None]


def test_null_tokens(convert: Convert) -> None:
    ran = convert("brand: b", "b,c\nNULL,1\n\\N ,1\n,1\nNA,1\n", head='source: {nulls: ["", "NULL", "\\\\N"]}')
    assert column(ran, "brand") == [None, None, None, "NA"]


@pytest.mark.parametrize(
    ("spec", "received", "expected"),
    [
        ("{from: v, multiply: 0.001}", "1234567", "1234.567"),
        ("{from: v, multiply: 0.001, round: 2}", "1235", "1.24"),
        ("{from: v, multiply: 0.001, round: 2}", "-1235", "-1.24"),
        ("{from: v, divide: 3, round: 4}", "2", "0.6667"),
        ("{from: v, divide: 8, round: 2}", "1", "0.13"),
        ("{from: v, round: 0}", "17.00", "17"),
        ("{from: v, round: 0}", "100", "100"),
        ("{from: v, multiply: 1}", "90071992547409931.07", "90071992547409931.07"),  # beyond the digits of a double
        ("{from: v, multiply: 3}", "0.1", "0.3"),  # 0.30000000000000004 in floating point
        ("{from: v, multiply: 1}", "0.1234567891", "?0.1234567891"),  # a tenth digit would be lost: marked instead
        ("{from: v, multiply: 1}", "1e-12", "?1e-12"),
        ("{from: v, multiply: 1}", "1_000", "?1_000"),
        ("{from: v, multiply: 1}", "twelve", "?twelve"),
        ("{from: v, multiply: 10}", "9" * 29, "?" + "9" * 29),  # does not fit 38 digits
        ("{from: v, divide: w, round: 2}", "24386.67", "1434.51"),
        ("{from: v, divide: z, round: 2}", "1", "?1"),  # division by zero has no value
        ('{from: v, strip: "€ ", multiply: 1}', "€ 5.50", "5.5"),
        ('{from: v, decimal: ",", thousands: "."}', '"1.234.567,89"', "1234567.89"),
        ('{from: v, decimal: ",", thousands: "."}', '"12,5"', "12.5"),
        ('{from: v, decimal: ",", thousands: "."}', "12.5", "?12.5"),  # no group of three: not silently 125 or 12.5
        ('{from: v, decimal: ","}', "12.5", "?12.5"),
        ('{from: v, thousands: " "}', "1\u202f234\u00a0567.5", "1234567.5"),
        ('{from: v, thousands: "\'"}', "1'234", "1234"),
        ("{from: v, multiply: 2}", '""', None),
    ],
)
def test_numbers_are_exact_or_marked(convert: Convert, spec: str, received: str, expected: str | None) -> None:
    ran = convert(f"unit_price: {spec}", f"k,v,w,z\n1,{received},17,0\n")
    assert column(ran, "unit_price") == [expected]
    assert ran.tally.unreadable == ({"unit_price": 1} if (expected or "").startswith("?") else {})


def test_decimal_comma_of_the_whole_file_touches_numbers_only(convert: Convert) -> None:
    ran = convert(
        "unit_price: p\nweight_kg: w\nproduct_name: n", 'p;w;n\n"1.204,50";0,5;a,b\n',
        head='source: {delimiter: ";", decimal: ",", thousands: "."}',
    )  # fmt: skip
    assert (column(ran, "unit_price"), column(ran, "weight_kg"), column(ran, "product_name")) == (
        ["1204.50"], ["0.5"], ["a,b"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "received", "expected"),
    [
        ('{from: v, formats: "%d.%m.%Y %H:%M"}', "05.02.2024 13:01", "2024-02-05T13:01:00.000000Z"),
        ('{from: v, formats: ["%Y-%m-%d", "%d/%m/%Y"]}', "31/12/2024", "2024-12-31T00:00:00.000000Z"),
        ('{from: v, formats: "%d.%m.%Y"}', "31.02.2024", "?31.02.2024"),
        (BERLIN, "05.07.2024 01:30", "2024-07-04T23:30:00.000000Z"),
        (BERLIN, "05.01.2024 01:30", "2024-01-05T00:30:00.000000Z"),
        (BERLIN, "05.07.2024", "2024-07-05T00:00:00.000000Z"),  # a day without a time is that day
        ("{from: v, time_zone: America/New_York}", "2024-07-05 20:00:00", "2024-07-06T00:00:00.000000Z"),
        ("{from: v, time_zone: America/New_York}", "2024-07-05T20:00:00+02:00", "2024-07-05T18:00:00.000000Z"),
        ("{from: v, time_zone: America/New_York}", "2024-07-05T20:00:00.123456Z", "2024-07-05T20:00:00.123456Z"),
        ("{from: v, time_zone: America/New_York}", "yesterday", "?yesterday"),
        ('{from: v, formats: "%Y-%m-%d %H:%M:%S%z"}', "2024-07-05 20:00:00+0200", "2024-07-05T18:00:00.000000Z"),
        ("{from: v, formats: epoch_ms}", "1720209600123", "2024-07-05T20:00:00.123000Z"),
        ("{from: v, formats: [iso, epoch_s]}", "1720209600.5", "2024-07-05T20:00:00.500000Z"),
        ("{from: v, formats: epoch_s}", "soon", "?soon"),
        ("{from: v}", "2024-07-05", "2024-07-05"),  # nothing asked for: as received
    ],
)  # fmt: skip
def test_times_become_utc_or_are_marked(convert: Convert, spec: str, received: str, expected: str) -> None:
    ran = convert(f"introduced_at: {spec}", f"k,v\n1,{received}\n")
    assert column(ran, "introduced_at") == [expected]


def test_a_time_zone_for_the_file_spares_constants_and_dates(convert: Convert) -> None:
    ran = convert(
        'registered_at: r\nbirth_date: {from: b, formats: "%d.%m.%Y"}\nupdated_at: {value: "2024-01-01T00:00:00"}',
        "r,b\n2024-07-01 01:00,01.07.1990\n",
        head="source: {time_zone: Europe/Berlin}",
        target="crm.customers",
    )
    row = ran.rows[0]
    assert row["registered_at"] == "2024-06-30T23:00:00.000000Z"
    assert row["birth_date"] == "1990-07-01"
    assert row["updated_at"] == "2024-01-01T00:00:00"


def test_expressions_over_columns_of_any_name(convert: Convert) -> None:
    ran = convert(
        "product_id: {expr: 'upper(\"Artikel Nr\") || ''-'' || ID'}\n"
        "unit_price: {expr: 'round(number(netto) * 1.19, 2)'}\n"
        "unit_cost: {expr: 'divide(netto, 7, 4)'}\n"
        "introduced_at: {expr: \"strptime(d, '%Y%m%d') + interval 1 day\"}\n"
        "status: {expr: \"case when netto is null then 'discontinued' else 'active' end\"}",
        "Artikel Nr,id,netto,d\nab,1,10.50,20240228\n",
    )
    row = ran.rows[0]
    assert row["product_id"] == "AB-1"
    assert row["unit_price"] == "12.5"  # 12.495 half up
    assert row["unit_cost"] == "1.5"
    assert row["introduced_at"] == "2024-02-29T00:00:00.000000"
    assert row["status"] == "active"


def test_where_counts_what_it_leaves_out(convert: Convert) -> None:
    ran = convert("product_id: a", "a,s\n1,x\n2,\n3,y\n4,x\n", head="where: s <> 'x'")
    assert column(ran, "product_id") == ["3"]
    assert ran.records == [3]
    assert (ran.tally.read, ran.tally.written, ran.tally.filtered) == (4, 1, 3)


def test_lookups_chain_and_count_what_has_no_match(convert: Convert) -> None:
    ran = convert(
        "location_id: a\nregion: region.name\ncity: nation.name\ncountry_code: {from: nation.iso, default: ZZ}",
        "a,n\n1,10\n2, 20 \n3,99\n4,\n",
        target="crm.locations",
        head="lookups:\n  nation: {file: nation.csv, on: {n: id}}\n  region: {file: region.csv, on: {nation.rid: id}}",
        lookups={
            "nation": "id,name,iso,rid\n10,France,FR,1\n20,Peru,PE,2\n30,X,XX,9\n",
            "region": "id,name\n1,Europe\n2,America\n",
        },
    )
    assert column(ran, "city") == ["France", "Peru", None, None]
    assert column(ran, "region") == ["Europe", "America", None, None]
    assert column(ran, "country_code") == ["FR", "PE", "ZZ", "ZZ"]
    assert ran.tally.unmatched == {"nation": 1}  # 99; a null key asks for nothing
    assert ran.records == [1, 2, 3, 4]


def test_a_lookup_key_must_be_unique(convert: Convert) -> None:
    head = "lookups: {n: {file: n.csv, on: {a: id}}}"
    with pytest.raises(MappingError, match="key '1' twice"):
        convert("product_id: n.x", "a\n1\n", head=head, lookups={"n": "id,x\n1,a\n1,b\n"})
    assert column(convert("product_id: n.x", "a\n1\n", head=head, lookups={"n": "id,x\n1,a\n1,a\n"}), "product_id") == [
        "a"
    ]


def test_columns_that_differ_by_case_only_are_kept_apart(convert: Convert) -> None:
    ran = convert("product_id: ID\nproduct_name: id\nbrand: {expr: 'ID || id'}", "ID,id\n1,2\n")
    assert (column(ran, "product_id"), column(ran, "product_name"), column(ran, "brand")) == (["1"], ["2"], ["12"])


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ("product_id: artikle", "did you mean 'artikel'"),
        ("product_id: {key: '{artikle}'}", "did you mean 'artikel'"),
        ("product_id: {key: '{artikel!r}'}", "column name alone"),
        ("product_id: {key: '{artikel'}", "key template is wrong"),
        ("product_id: {expr: 'lower(artikle)'}", "did you mean 'artikel'"),
        ("product_id: {expr: 'lower('}", "does not parse"),
        ("product_id: {expr: 'lower(artikel, 1)'}", "column 'product_id' is refused"),
        ("unit_price: {from: artikel, divide: mnge, round: 2}", "has no column 'mnge'"),
        ("introduced_at: {from: artikel, formats: '%Q'}", "is no date format"),
        ("introduced_at: {from: artikel, formats: dd.mm.yyyy}", "is no date format"),
        ("product_id: n.x", "has no column 'n.x'"),
    ],
)
def test_references_that_do_not_exist_are_refused_with_the_closest(convert: Convert, columns: str, word: str) -> None:
    with pytest.raises(MappingError, match=word):
        convert(columns, "artikel,menge\n1,2\n")


def test_a_failing_expression_names_the_line(convert: Convert) -> None:
    text = "a,b\n" + "".join(f"{i},{i}\n" for i in range(1, 700)) + '700,"x\ny"\n701,oops\n'
    with pytest.raises(MappingError, match=r"in.csv line 703: an expression fails: .*oops") as caught:
        convert("product_id: {expr: \"case when a = '701' then number(b) else 0 end\"}", text)
    assert "try_cast" in caught.value.mend


def test_a_failing_line_in_a_lookup_file_is_an_error(convert: Convert) -> None:
    with pytest.raises(LandingError, match="Record 2 of the look-up file"):
        convert(
            "product_id: n.x",
            "a\n1\n",
            head="lookups: {n: {file: n.csv, on: {a: id}}}",
            lookups={"n": "id,x\n1,a\n2\n"},
        )


DECIMALS = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=4)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=DECIMALS, b=DECIMALS, digits=st.integers(0, 6))
def test_divide_is_pythons_decimal_division(sandbox: Sandbox, a: Decimal, b: Decimal, digits: int) -> None:
    found = sandbox.connection.execute(f"SELECT divide('{a:f}', '{b:f}', {digits})").fetchone()
    assert found is not None
    if b == 0:
        assert found[0] is None
    else:
        exact = (abs(a) / abs(b)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        assert found[0] == (exact if (a < 0) == (b < 0) else -exact)


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox()
