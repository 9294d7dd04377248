"""Which change needs which version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from c360.contracts import Column, Contract, PartitionBy, Rule, breaking_changes
from c360.contracts.evolution import changes, version_problem

OLD = Contract(
    name="silver.things",
    layer="silver",
    table="things",
    version="1.2.3",
    domain="sales",
    owner="sales-data",
    description="Things.",
    columns=(
        Column("thing_id", "string", required=True, source="thing_id"),
        Column("seen_at", "timestamp", required=True, source="seen_at"),
        Column("colour", "string", enum=("red", "blue"), source="colour"),
        Column("size", "int", minimum="0", maximum="10", source="size"),
        Column("price", "decimal(10,2)", source="price"),
        Column("born", "date", minimum="1900-01-01", maximum="2100-01-01", source="born"),
        Column("code", "string", pattern="^[a-z]$", max_length=5, source="code"),
        Column("email", "string", classification="direct", source="email"),
    ),
    primary_key=("thing_id", "seen_at"),
    version_column="seen_at",
    retention_days=730,
)


def with_column(which: str, **changed: Any) -> Contract:
    columns = tuple(replace(c, **changed) if c.name == which else c for c in OLD.columns)
    return replace(OLD, columns=columns)


def plus(column: Column) -> Contract:
    return replace(OLD, columns=(*OLD.columns, column))


def minus(name: str) -> Contract:
    return replace(OLD, columns=tuple(c for c in OLD.columns if c.name != name))


BREAKING = {
    "column size dropped": minus("size"),
    "column size renamed to extent": with_column("size", name="extent", source="extent"),
    "size changed from int to string": with_column("size", type="string"),
    "price changed from decimal(10,2) to decimal(9,2)": with_column("price", type="decimal(9,2)"),
    "price changed from decimal(10,2) to decimal(12,3)": with_column("price", type="decimal(12,3)"),
    "price changed from decimal(10,2) to double": with_column("price", type="double"),
    "born changed from date to timestamp": with_column("born", type="timestamp"),
    "colour became required": with_column("colour", required=True),
    "thing_id may now be null": with_column("thing_id", required=False),
    "colour became unique": with_column("colour", unique=True),
    "new column weight is required": plus(Column("weight", "double", required=True)),
    "primary key changed": replace(OLD, primary_key=("thing_id",)),
    "primary key changed from (thing_id, seen_at) to (seen_at": replace(OLD, primary_key=("seen_at", "thing_id")),
    "version column changed": replace(OLD, version_column=None),
    "colour lost the value red": with_column("colour", enum=("blue", "green")),
    "code restricted to a, b": with_column("code", enum=("a", "b")),
    "size minimum tightened from 0 to 1": with_column("size", minimum="1"),
    "size maximum tightened from 10 to 9.5": with_column("size", maximum="9.5"),
    "price minimum tightened from none to 0": with_column("price", minimum="0"),
    "born minimum tightened from 1900-01-01 to 1920-01-01": with_column("born", minimum="1920-01-01"),
    "born maximum tightened from 2100-01-01 to 2050-01-01": with_column("born", maximum="2050-01-01"),
    "code max_length tightened from 5 to 4": with_column("code", max_length=4),
    "code pattern changed": with_column("code", pattern="^[a-z0-9]$"),
    "colour pattern changed": with_column("colour", pattern="^.$"),
    "colour classification changed from none to quasi": with_column("colour", classification="quasi"),
    "retention shortened from 730 to 90": replace(OLD, retention_days=90),
}
ADDITIVE = {
    "column weight added": plus(Column("weight", "double")),
    "size changed from int to long": with_column("size", type="long"),
    "price changed from decimal(10,2) to decimal(12,2)": with_column("price", type="decimal(12,2)"),
    "colour gained the value green": with_column("colour", enum=("red", "blue", "green")),
    "colour no longer restricted": with_column("colour", enum=()),
    "size minimum loosened from 0 to -1": with_column("size", minimum="-1"),
    "size maximum loosened from 10 to 1e2": with_column("size", maximum="1e2"),
    "born minimum loosened from 1900-01-01 to none": with_column("born", minimum=None),
    "code max_length loosened from 5 to 50": with_column("code", max_length=50),
    "code pattern changed to none": with_column("code", pattern=None),
    "email classification changed from direct to none": with_column("email", classification="none"),
    "colour standardise changed": with_column("colour", standardise=("trim",)),
    "retention lengthened to unlimited": replace(OLD, retention_days=None),
    "partitioning changed": replace(OLD, partitioning=(PartitionBy("seen_at", "month"),)),
    "owner changed": replace(OLD, owner="others"),
    "quality rules changed": replace(OLD, rules=(Rule("rowCount", {}, minimum=1),)),
}
WORDING = {
    "description": replace(OLD, description="Things, and more."),
    "column description": with_column("size", description="How big."),
    "examples": with_column("colour", examples=("red",)),
    "order": replace(OLD, columns=OLD.columns[::-1]),
}


@pytest.mark.parametrize("words", BREAKING)
def test_breaking_needs_a_major_version(words: str) -> None:
    new = BREAKING[words]
    found = breaking_changes(OLD, new)
    assert len(found) == 1, found
    assert words in found[0]
    for version in ("1.2.3", "1.2.4", "1.3.0"):
        assert "breaking without a new major version" in (version_problem(OLD, replace(new, version=version)) or "")
    assert version_problem(OLD, replace(new, version="2.0.0")) is None


@pytest.mark.parametrize("words", ADDITIVE)
def test_additive_needs_a_minor_version(words: str) -> None:
    new = ADDITIVE[words]
    assert breaking_changes(OLD, new) == []
    assert [words in change.text for change in changes(OLD, new)] == [True]
    for version in ("1.2.3", "1.2.4"):
        assert "without a new minor version" in (version_problem(OLD, replace(new, version=version)) or "")
    for version in ("1.3.0", "2.0.0"):
        assert version_problem(OLD, replace(new, version=version)) is None


@pytest.mark.parametrize("what", WORDING)
def test_wording_needs_a_patch(what: str) -> None:
    new = WORDING[what]
    assert breaking_changes(OLD, new) == []
    assert "changed without a new version" in (version_problem(OLD, new) or "")
    assert version_problem(OLD, replace(new, version="1.2.4")) is None


def test_no_change_needs_nothing_and_a_new_version_alone_is_fine() -> None:
    assert changes(OLD, OLD) == []
    assert version_problem(OLD, OLD) is None
    assert version_problem(OLD, replace(OLD, version="1.10.0")) is None


def test_a_version_never_goes_back() -> None:
    assert version_problem(replace(OLD, version="1.10.0"), replace(OLD, version="1.9.0")) == (
        "version went back from 1.10.0 to 1.9.0"
    )


def test_undoing_an_additive_change_is_breaking() -> None:
    grown = plus(Column("weight", "double"))
    assert breaking_changes(grown, OLD) == ["column weight dropped"]


def test_all_breaking_changes_are_told() -> None:
    new = replace(minus("size"), primary_key=("thing_id",), version_column=None)
    assert len(breaking_changes(OLD, new)) == 3
