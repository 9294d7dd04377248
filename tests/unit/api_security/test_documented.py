"""``docs/security.md`` names tests that there are, and all ten risks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_that_the_document_names_exists_and_no_risk_is_left_out() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    there = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 50
    assert sorted(named - there) == []
    risks = re.findall(r"^\| (API\d+) .*`test_\w+` \|$", text, re.MULTILINE)
    assert risks == [f"API{number}" for number in range(1, 11)]
