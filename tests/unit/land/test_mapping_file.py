"""The mapping file itself: what is wrong in it is said with line, field and mend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from c360.ingest.mapping import MappingError, load_mapping, parse_mapping

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
version: 1
target: catalog.stock
columns:
  movement_id: id
  product_id: {from: sku}
  warehouse: {value: main}
  movement_type: {from: t, map: {NO: sale, "null": null}}
  quantity: {from: q, multiply: 0.10, round: 0}
  moved_at: {from: d, formats: "%d.%m.%Y"}
"""


def refused(text: str, as_target: str | None = None) -> str:
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "m.yaml", as_target)
    return str(caught.value)


def test_every_scalar_stays_the_text_that_was_written() -> None:
    mapping, target, _ = parse_mapping(GOOD, "m.yaml")
    assert target.name == "catalog.stock"
    assert mapping.columns["movement_id"].from_ == "id"
    assert mapping.columns["movement_type"].map == {"NO": "sale", "null": None}  # neither a boolean key nor a null one
    assert mapping.columns["quantity"].multiply == "0.10"
    assert mapping.columns["moved_at"].formats == ("%d.%m.%Y",)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("warehouse: {value: main}", "warehouse: {vale: main}", 6, ["columns.warehouse.vale", "did you mean 'value'"]),
        ("  warehouse: {value: main}", "  warehouse: {value: main, from: x}", 6, ["exactly one of", "from and value"]),
        ("  warehouse: {value: main}", "  warehouse: {}", 6, ["exactly one of", "none"]),
        ("version: 1", "version: 2", 1, ["version '2'", "version: 1"]),
        ("target: catalog.stock", "targett: catalog.stock", 2, ["'targett'", "did you mean 'target'"]),
        ("target: catalog.stock", "target: catalog.stok", None, ["did you mean 'catalog.stock'", "shop.orders"]),
        ("  warehouse:", "  warehuose:", 6, ["'warehuose'", "did you mean 'warehouse'", "movement_type"]),
        ("round: 0", "round: many", 8, ["columns.quantity.round"]),
        ("multiply: 0.10, round: 0", "divide: 3", 8, ["divide needs `round"]),
        ("multiply: 0.10", "multiply: 0.0000000001", 8, ["more than 9 digits"]),
        ("multiply: 0.10", "divide: 0", 8, ["is 0"]),
        ('formats: "%d.%m.%Y"', "time_zone: Europe/Atlantis", 9, ["'Europe/Atlantis' is no time zone"]),
        ("  movement_id: id", "  movement_id: id\n  movement_id: id2", 5, ["repeats the key 'movement_id'"]),
        ("columns:", "source: {delimiter: '::'}\ncolumns:", 3, ["source.delimiter"]),
        ("columns:", "source: {header: false}\ncolumns:", 3, ["needs `names`"]),
        ("columns:", "source: {names: [a, b, a]}\ncolumns:", 3, ["repeats a"]),
        ("columns:", "source: {decimal: ',', thousands: ','}\ncolumns:", 3, ["same character"]),
        ("columns:", "lookups: {x: {file: f.csv}}\ncolumns:", 3, ["lookups.x.on"]),
        ("columns:", "lookups: {x: {file: /etc/passwd, on: {a: b}}}\ncolumns:", 3, ["must lie beside", "--lookup"]),
        ("columns:", "lookups: {x: {file: a/../../b, on: {a: b}}}\ncolumns:", 3, ["must lie beside"]),
        ("{from: sku}", "&a {from: sku}\n  q: *a", 5, ["anchor"]),
        ("{from: sku}", "{from: sku", 6, ["is not YAML"]),
        ("{from: sku}", "{from: TODO}", 5, ["still has TODO", "columns.product_id.from (line 5)"]),
    ],
)  # fmt: skip
def test_errors_name_line_field_and_mend(old: str, new: str, line: int | None, words: list[str]) -> None:
    assert old in GOOD
    message = refused(GOOD.replace(old, new, 1))
    assert "Mend: " in message
    assert line is None or re.search(rf"line {line}\b", message), message
    for word in words:
        assert word in message


def test_missing_required_columns_are_named() -> None:
    without = "".join(
        line for line in GOOD.splitlines(keepends=True) if "product_id" not in line and "moved_at" not in line
    )
    message = refused(without)
    assert "product_id, moved_at" in message
    assert "catalog.stock" in message


def test_the_target_must_be_the_one_that_was_asked_for() -> None:
    assert "--as says shop.orders" in refused(GOOD, "shop.orders")
    assert "did you mean 'shop.orders'" in refused(GOOD, "shop.order")


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "just text"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    assert "m.yaml" in refused(text)


def test_missing_binary_and_huge_files_are_refused(tmp_path: Path) -> None:
    for name, content, word in (
        ("a", None, "no mapping file"),
        ("b", b"\xff\xfe\x00", "not UTF-8"),
        ("c", b"x" * 1_000_001, "bytes"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(MappingError, match=word):
            load_mapping(path)
