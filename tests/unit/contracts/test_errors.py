"""Whatever cannot be kept is refused, with the file and the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from c360.contracts import load_contracts
from c360.errors import ContractError

Write = Callable[[dict[str, Any]], Path]
Change = Callable[[dict[str, Any]], object]


def body(document: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = document["schema"][0]
    return table


def column(document: dict[str, Any], position: int) -> dict[str, Any]:
    item: dict[str, Any] = body(document)["properties"][position]
    return item


def quality(rule: dict[str, Any], position: int | None = None) -> Change:
    def change(document: dict[str, Any]) -> None:
        place = body(document) if position is None else column(document, position)
        place["quality"] = [rule]

    return change


def pair(**kwargs: Any) -> dict[str, Any]:
    kind = "expect_column_pair_values_a_to_be_greater_than_b"
    return {"type": "custom", "engine": "greatExpectations", "implementation": {"type": kind, "kwargs": kwargs}}


CASES: dict[str, tuple[Change, str]] = {
    "standard: unknown word": (
        lambda d: column(d, 0).update(physicaltype="string"),
        r"things\.yaml is not valid against the Open .* at schema\[0\]\.properties\[0\].*physicaltype",
    ),
    "standard: wrong type": (lambda d: d.update(version=1.0), r"at version .*is not of type 'string'"),
    "standard: missing field": (lambda d: d.pop("kind"), "'kind' is a required property"),
    "standard: bad operator": (
        quality({"metric": "rowCount", "mustBeGreaterThan": "few"}),
        r"not valid against the Open Data Contract Standard at schema\[0\]\.quality\[0\]",
    ),
    "version": (lambda d: d.update(version="1.0"), r"version '1\.0' is not major\.minor\.patch"),
    "domain": (lambda d: d.pop("domain"), "domain is missing"),
    "owner": (lambda d: d.pop("team"), "no team owns"),
    "purpose": (lambda d: d.pop("description"), r"description\.purpose is missing"),
    "two tables": (lambda d: d["schema"].append(body(d)), "exactly one table"),
    "table name": (lambda d: body(d).update(name="thing"), "the table is named 'thing'"),
    "unknown type": (lambda d: column(d, 3).update(physicalType="int8"), "column size has the unknown type 'int8'"),
    "decimal too wide": (lambda d: column(d, 3).update(physicalType="decimal(39,2)"), "unknown type"),
    "scale above precision": (lambda d: column(d, 3).update(physicalType="decimal(4,5)"), "unknown type"),
    "logical type": (lambda d: column(d, 3).update(logicalType="number"), "size is int but its logicalType is number"),
    "no description": (lambda d: column(d, 3).update(description=" "), "column size has no description"),
    "classification": (lambda d: column(d, 3).update(classification="secret"), "size has the classification 'secret'"),
    "standardise": (
        lambda d: column(d, 0).update(customProperties=[{"property": "standardise", "value": ["uppercase"]}]),
        "column thing_id names the unknown standardise transform 'uppercase'.*nfc",
    ),
    "custom property": (
        lambda d: column(d, 0).update(customProperties=[{"property": "standardize", "value": ["trim"]}]),
        "column thing_id has unknown custom properties standardize",
    ),
    "table custom property": (
        lambda d: body(d)["customProperties"].append({"property": "upstreams", "value": []}),
        "unknown custom properties upstreams",
    ),
    "partition transform": (
        lambda d: column(d, 1).update(customProperties=[{"property": "partitionTransform", "value": "week"}]),
        "column seen_at has the unknown partition transform 'week'",
    ),
    "pattern": (
        lambda d: column(d, 2).update(logicalTypeOptions={"pattern": "["}),
        "colour has a pattern that is no reg",
    ),
    "option not enforced": (
        lambda d: column(d, 2).update(logicalTypeOptions={"minLength": 1}),
        "colour has options that are not enforced: minLength",
    ),
    "key missing": (
        lambda d: [c.pop("primaryKey", None) for c in body(d)["properties"]],
        "no column is part of the pr",
    ),
    "key position": (lambda d: column(d, 1).update(primaryKeyPosition=3), r"primaryKeyPosition of .* is \[1, 3\]"),
    "version column": (
        lambda d: body(d).update(customProperties=[{"property": "versionColumn", "value": "changed_at"}]),
        "versionColumn 'changed_at' is no part of the key",
    ),
    "shared group": (
        lambda d: body(d)["customProperties"].append({"property": "sharedColumns", "value": "position"}),
        "unknown group 'position'",
    ),
    "duplicate column": (lambda d: column(d, 3).update(name="Colour"), "column Colour is described twice"),
    "unknown table": (
        lambda d: column(d, 0).update(relationships=[{"to": "silver.nothing.thing_id"}]),
        r"thing_id refers to the unknown table 'silver\.nothing'",
    ),
    "unknown column": (
        lambda d: column(d, 0).update(relationships=[{"to": "silver.things.id"}]),
        r"thing_id refers to the unknown column 'silver\.things\.id'",
    ),
    "reference of another type": (
        lambda d: column(d, 3).update(relationships=[{"to": "silver.things.thing_id"}]),
        r"size is int, but silver\.things\.thing_id is not",
    ),
    "unknown upstream": (
        lambda d: body(d)["customProperties"].append({"property": "upstream", "value": ["bronze.things"]}),
        r"upstream bronze\.things has no contract",
    ),
    "source": (
        lambda d: body(d)["customProperties"].append({"property": "source", "value": {"system": "shop"}}),
        "source does not state system, entity and format",
    ),
    "source format": (
        lambda d: body(d)["customProperties"].append(
            {"property": "source", "value": {"system": "shop", "entity": "things", "format": "xml"}}
        ),
        "unknown format 'xml'",
    ),
    "retention": (
        lambda d: d.update(slaProperties=[{"property": "retention", "value": 2, "unit": "fortnights"}]),
        "retention of 2 fortnights is not understood",
    ),
    "rule: metric": (quality({"type": "text", "description": "Nice."}), "type text .* cannot be audited"),
    "rule: severity": (quality({"metric": "rowCount", "mustBe": 1, "severity": "fatal"}), "severity 'fatal'"),
    "rule: engine": (
        quality({"type": "custom", "engine": "soda", "implementation": "checks: []"}),
        "engine 'soda' cannot be audited",
    ),
    "rule: expectation": (
        quality({"type": "custom", "engine": "greatExpectations", "implementation": {"type": "expect_luck"}}),
        "unknown expectation 'expect_luck'",
    ),
    "rule: arguments": (quality(pair(column_A="size")), "lacks column_B"),
    "rule: column": (quality(pair(column_A="size", column_B="weight")), "names the unknown column 'weight'"),
    "rule: place": (quality({"metric": "rowCount", "mustBe": 1}, 2), "rowCount stands at the wrong place"),
    "rule: some duplicates": (
        quality({"metric": "duplicateValues", "mustBeLessOrEqualTo": 3}, 2),
        "duplicateValues allows some duplicates",
    ),
    "rule: asks for nulls": (
        quality({"metric": "nullValues", "mustBeGreaterOrEqualTo": 1}, 2),
        "nullValues asks for bad values",
    ),
    "rule: rows": (
        quality({"metric": "nullValues", "mustBeLessOrEqualTo": 5}, 2),
        "allows a number of rows, which grows with the table",
    ),
    "rule: values not said": (quality({"metric": "invalidValues", "mustBe": 0}, 2), "does not say which values"),
    "rule: operator": (quality({"metric": "nullValues", "mustNotBe": 3}, 2), "operator that is not supported"),
}


def test_the_small_contract_is_valid(small: dict[str, Any], write: Write) -> None:
    contract = load_contracts(write(small))["silver.things"]
    assert contract.names == ("thing_id", "seen_at", "colour", "size")
    assert (contract.freshness_hours, contract.retention_days) == (48, 730)
    assert contract.business_key == ("thing_id",)
    assert contract.column("colour").enum == ("red", "blue")
    assert (contract.column("size").minimum, contract.column("size").maximum) == ("0", "10")
    with pytest.raises(KeyError, match="no column shape"):
        contract.column("shape")


@pytest.mark.parametrize("case", CASES)
def test_refusal_says_what_and_how_to_mend(case: str, small: dict[str, Any], write: Write) -> None:
    change, words = CASES[case]
    change(small)
    with pytest.raises(ContractError, match=words) as refused:
        load_contracts(write(small))
    assert "Mend: " in str(refused.value)
    assert "silver" in str(refused.value)


def test_the_file_name_decides_the_id(small: dict[str, Any], write: Write) -> None:
    root = write(small)
    (root / "silver" / "things.yaml").rename(root / "silver" / "others.yaml")
    with pytest.raises(ContractError, match=r"id is 'silver\.things' although the file is silver\.others"):
        load_contracts(root)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id: silver.things\nschema:\n  - name: [things\n", r"things\.yaml does not parse as YAML \(line 4, column 1"),
        ("id: a\nversion: 1.0.0\nid: b\n", r"line 3, column 1: duplicate key 'id'"),
        ("id: \tsilver\n\tversion: 1\n", r"does not parse as YAML \(line 2"),
        ("- id\n", "holds no mapping"),
        ("", "holds no mapping"),
        ("!!python/object/apply:os.getcwd []\n", "does not parse as YAML"),
    ],
)
def test_broken_yaml_names_file_and_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "silver" / "things.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=words):
        load_contracts(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "silver").mkdir()
    (tmp_path / "silver" / "things.yaml").write_bytes(b"id: \xff\xfe\n")
    with pytest.raises(ContractError, match=r"things\.yaml cannot be read"):
        load_contracts(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="holds no contracts"):
        load_contracts(tmp_path)


def test_shared_columns_come_last_and_are_checked(small: dict[str, Any], write: Write) -> None:
    body(small)["customProperties"].append({"property": "sharedColumns", "value": "position"})
    root = write(small)
    shared = {"position": [{**column(small, 2), "name": "_source_file", "physicalType": "string"}]}
    (root / "shared.yaml").write_text(yaml.safe_dump(shared))
    assert load_contracts(root)["silver.things"].names[-1] == "_source_file"

    shared["position"][0]["physicaltype"] = "string"
    (root / "shared.yaml").write_text(yaml.safe_dump(shared))
    with pytest.raises(ContractError, match=r"shared\.yaml is not valid .* at position\[0\]"):
        load_contracts(root)
