"""The dictionary of features is the one that the contracts give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from c360.cli.contracts import app
from c360.contracts.model import Column
from c360.streams.dictionary import feature_dictionary
from c360.streams.features import load_features

PAGE = Path(__file__).parents[3] / "docs" / "features-dictionary.md"


def test_the_page_is_up_to_date() -> None:
    found = CliRunner().invoke(app, ["dictionary"]).stdout
    assert PAGE.read_text(encoding="utf-8") == found, f"run: c360 contracts dictionary --out docs/{PAGE.name}"


def test_every_feature_is_told_with_all_that_its_readers_ask(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["dictionary", "--out", str(tmp_path / "page.md")]).exit_code == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    for contract in load_features().values():
        assert f"## {contract.name}\n\n{contract.description} {contract.granularity}\n" in page
        assert f"| owner | {contract.owner} |" in page
        for column in contract.columns:
            assert f"| `{column.name}` | {column.type} |" in page


def test_a_bar_in_a_description_stays_in_its_cell() -> None:
    contract, *_ = load_features().values()
    odd = replace(contract, columns=(Column("a", "string", description="this | that", enum=("x", "y")),))
    assert "| `a` | string |  |  | this &#124; that One of x, y. |" in feature_dictionary([odd])
