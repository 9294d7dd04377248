"""What the documentation shows is what the product takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c360.ingest.mapping import load_mapping, parse_mapping
from c360.ingest.mapping_model import ColumnSpec, LookupSpec, SourceSpec
from c360.ingest.mapping_sandbox import Sandbox
from c360.ingest.mapping_target import targets

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "bring-your-own-data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_mappings_on_the_page_load(example: str) -> None:
    mapping, target, _ = parse_mapping(example, "page")
    assert mapping.target == target.name


@pytest.mark.parametrize("path", sorted((DOCS / "examples/tpch").glob("*.yaml")), ids=lambda p: p.stem)
def test_mappings_of_the_example_load(path: Path) -> None:
    load_mapping(path)


def test_expressions_on_the_page_pass() -> None:
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    with Sandbox() as sandbox:
        for expression in block.splitlines():
            sandbox.check(expression, ".".join, "page")


def test_every_field_and_target_is_explained() -> None:
    for model in (SourceSpec, LookupSpec, ColumnSpec):
        for name, info in model.model_fields.items():
            assert re.search(rf"\b{info.alias or name}\b", PAGE), name
    for name in targets():
        assert f"`{name}`" in PAGE
