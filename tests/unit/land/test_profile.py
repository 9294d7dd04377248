"""The profile: what it finds out about a file, and that its proposal loads or names what is still to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from c360.cli.land import register
from c360.errors import LandingError
from c360.ingest.land import plan
from c360.ingest.mapping import MappingError, parse_mapping
from c360.ingest.mapping_stream import guess_encoding
from c360.ingest.mapping_trial import try_out
from c360.ingest.profile import Profile, profile, save

Write = Callable[..., Path]
GERMAN = """\
Bestellnummer;KundenNr;Datum;Status;Versand;Bemerkung
1001;K1;05.02.2024 13:00;Paid;1.204,50;Größe prüfen, süß
1002;K2;13.02.2024 09:30;Completed;4,95;für Jörg übermäßig
1003;K1;28.02.2024 23:59;Cancelled;0,00;NULL
"""
LINES = "order_no,pos,sku,qty,unit price,changed\n" + "".join(
    f"{n // 3},{n % 3 + 1},S{n % 5},{n % 4 + 1},{n}.50,2024-01-{n % 28 + 1:02d}\n" for n in range(60)
)


def sources(found: Profile) -> dict[str, object]:
    return {c.column: dict(c.fields) if c.fields else None for c in found.choices}


def test_a_german_export_is_understood_and_its_proposal_works_at_once(write: Write) -> None:
    path = write("bestellungen.csv", GERMAN, "cp1252")
    found = profile(path, "shop.orders")
    assert found.todo == ()
    assert (found.source.delimiter, found.source.encoding, found.source.decimal, found.source.thousands) == (
        ";", "windows-1252", ",", ".",
    )  # fmt: skip
    assert "NULL" in found.source.nulls
    chosen = sources(found)
    assert chosen["order_id"] == {"from": "Bestellnummer"}
    assert chosen["customer_id"] == {"from": "KundenNr"}
    assert chosen["ordered_at"] == {"from": "Datum", "formats": ["%d.%m.%Y %H:%M"]}
    assert chosen["shipping_amount"] == {"from": "Versand"}
    assert chosen["channel"] is None
    assert found.unused == ("Bemerkung",)
    trial = try_out(plan(path, "shop.orders", write("m.yaml", found.text)))
    assert (trial.accepted, trial.rejected) == (3, 0)


def test_statistics(write: Write) -> None:
    columns = {c.name: c for c in profile(write("l.csv", LINES), "shop.order_items").statistics.columns}
    assert {n: c.kind for n, c in columns.items()} == {
        "order_no": "integer", "pos": "integer", "sku": "text", "qty": "integer",
        "unit price": "decimal", "changed": "date",
    }  # fmt: skip
    assert (columns["unit price"].minimum, columns["unit price"].maximum) == (
        "0.50",
        "59.50",
    )  # as numbers, not as texts
    assert columns["sku"].values == ("S0", "S1", "S2", "S3", "S4")
    assert columns["qty"].distinct == 4


def test_a_key_of_two_columns_becomes_a_template(write: Write) -> None:
    found = profile(write("l.csv", LINES.replace(",unit price,", ",price,")), "shop.order_items")
    assert {"order_no", "pos"} in map(set, found.statistics.keys)
    chosen = sources(found)
    assert chosen["order_item_id"] == {"key": "{order_no}-{pos}"}
    assert chosen["order_id"] == {"from": "order_no"}
    assert chosen["product_id"] == {"from": "sku"}
    assert chosen["quantity"] == {"from": "qty"}
    assert chosen["updated_at"] == {"from": "changed"}


def test_what_cannot_be_placed_stays_todo_and_the_file_says_so_when_loaded(write: Write) -> None:
    found = profile(
        write("o.csv", "id,client,day,state\n1,a,2024-01-01,O\n2,b,2024-01-02,F\n3,b,2024-01-02,F\n"), "shop.orders"
    )
    assert "status" in found.todo
    with pytest.raises(
        MappingError, match=r"still has TODO at columns.status.map.F \(line \d+\), columns.status.map.O"
    ):
        parse_mapping(found.text, "m.yaml")
    mended = found.text.replace("F: TODO", "F: completed").replace("O: TODO", "O: placed")
    mapping, _, _ = parse_mapping(mended, "m.yaml")
    assert mapping.columns["status"].map == {"F": "completed", "O": "placed"}
    assert "allowed: placed, paid" in found.text


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ("a|b|\n1|2|\n3|4|\n", "f.tbl", {"delimiter": "|", "trailing_delimiter": True, "header": True}),
        ("1|x y|2.5\n2|z|3.5\n", "f.tbl", {"header": False, "names": ("column_1", "column_2", "column_3")}),
        ("Report\n\nid\tname\n1\ta\n2\tb\n", "f.txt", {"delimiter": "\t", "skip": 1, "header": True}),
        ('{"id": 1}\n', "f.log", {"format": "jsonl"}),
        ("id,id\n1,2\n", "f.csv", {"header": True, "names": ("id_1", "id_2")}),
        ('id,size\n1,5" pipe\n2,"6 pipe"\n', "f.csv", {"quote": '"'}),
        ('id,size\n1,5" pipe\n2,7" pipe\n', "f.csv", {"quote": None}),
        ("only\na\nb\n", "f.csv", {"delimiter": ",", "header": True}),
    ],
)  # fmt: skip
def test_sniffing(write: Write, content: str, name: str, expected: dict[str, object]) -> None:
    from c360.ingest.mapping_sniff import sniff

    spec = sniff(write(name, content)).spec
    assert {key: getattr(spec, key) for key in expected} == expected


def test_a_leading_report_line_is_skipped_by_the_proposal_too(write: Write) -> None:
    rows = ["id product store kind qty when", "1 A m sale 1 2024-01-01", "2 B m receipt 2 2024-01-02"]
    text = "\n".join(["Stock report", *(row.replace(" ", "\t") for row in rows)])
    path = write("f.tsv", text)
    found = profile(path, "catalog.stock")
    assert found.statistics.rows == 2
    assert sources(found)["product_id"] == {"from": "product"}


@pytest.mark.parametrize(
    ("days", "formats", "ambiguous"),
    [
        (["01/02/2024", "13/02/2024"], ("%d/%m/%Y",), False),
        (["01/02/2024", "02/13/2024"], ("%m/%d/%Y",), False),
        (["01/02/2024", "02/03/2024"], ("%d/%m/%Y",), True),
        (["20240229", "20240229"], ("%Y%m%d",), False),
        (["1 Feb 2024", "12 Mar 2024"], ("%d %b %Y",), False),
        (["02/13/2024 01:05 PM", "02/14/2024 11:05 AM"], ("%m/%d/%Y %I:%M %p",), False),
        (["1720209600123", "1720209600123"], ("epoch_ms",), False),
        (["2024-01-01T00:00:00Z", "2024-01-01 00:00"], ("iso",), False),
    ],
)
def test_date_formats(write: Write, days: list[str], formats: tuple[str, ...], ambiguous: bool) -> None:
    found = profile(write("f.csv", "id,day\n" + "".join(f"{i},{d}\n" for i, d in enumerate(days))), "shop.orders")
    column = found.statistics.columns[1]
    assert (column.formats, column.ambiguous) == (formats, ambiguous)
    assert ("the other way round" in found.text) is ambiguous


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Größe, Maß, Straße, Öl, Ärger, süß, fünf", "windows-1252"),
        ("Заказ доставлен, спасибо большое за покупку", "windows-1251"),
        ("数据 客户 订单", "utf-8"),
        ("abc", "utf-16"),
        ("plain", "utf-8"),
    ],
)
def test_encodings_are_guessed(text: str, encoding: str) -> None:
    assert guess_encoding(text.encode(encoding)) == encoding


def test_names_and_values_that_yaml_would_misread_survive(write: Write) -> None:
    header = ['"order: id"', '"#client"', "'quoted'", "yes", '"a,b"', "null", "- x", "状态"]
    path = write(
        "f.csv", ",".join(header) + "\n" + "1,a,2024-01-01,paid,x,y,z,w\n" * 1 + "2,b,2024-01-02,PAID,x,y,z,w\n"
    )
    found = profile(path, "shop.orders")
    mapping, _, _ = parse_mapping(found.text.replace("TODO", "yes"), "m.yaml")
    assert mapping.columns["order_id"].from_ == "order: id"
    assert mapping.columns["customer_id"].from_ == "#client"


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("f.csv", b"", "is empty"),
        ("f.csv", b"\n \n", "has no records"),
        ("f.csv", b"id,a\n", "no records below its header"),
        ("f.bin", b"\x00\x01\x02\x00\x07" * 100, "neither text nor Parquet"),
        ("f.parquet", b"PAR1xx", "no complete Parquet"),
        ("f.json", b'[{"a": 1}]', "JSON"),
    ],
)
def test_files_that_are_no_tables(write: Write, name: str, content: bytes, word: str) -> None:
    with pytest.raises(LandingError, match=word):
        profile(write(name, content), "shop.orders")


def test_the_target_is_checked_first(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"did you mean 'web\.events'.*shop\.orders"):
        profile(tmp_path / "missing.csv", "web.event")


def test_an_existing_mapping_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    save("one", path)
    with pytest.raises(LandingError, match="--force"):
        save("two", path)
    assert path.read_text() == "one"
    save("two", path, overwrite=True)
    assert path.read_text() == "two"
    with pytest.raises(LandingError, match="cannot be written"):
        save("x", tmp_path / "no" / "such" / "m.yaml")
    assert [p.name for p in tmp_path.iterdir()] == ["m.yaml"]


def test_the_command(write: Write, tmp_path: Path) -> None:
    app = Typer()
    register(app)
    path = write("b.csv", GERMAN)
    done = CliRunner().invoke(app, ["profile", str(path), "--as", "shop.orders", "--out", str(tmp_path / "m.yaml")])
    assert done.exit_code == 0, done.output
    for word in ("Bestellnummer", "decimal_comma", "confidence", "ordered_at", "(unique)"):
        assert word in done.output
    body = json.loads(CliRunner().invoke(app, ["profile", str(path), "--as", "shop.orders", "--json"]).output)
    assert body["text"] == (tmp_path / "m.yaml").read_text()
    assert body["columns"][0]["unique"] is True
