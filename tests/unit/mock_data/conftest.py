from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mock_data import generate

if TYPE_CHECKING:
    from mock_data import Generated


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """The company of the reading tests: small enough to be read record by record in plain Python."""
    out: Path = tmp_path_factory.mktemp("tiny")
    return generate(out, scale=0.01, seed=7, start=date(2025, 1, 20), days=90)


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """A year of a small company, for its habits."""
    return generate(tmp_path_factory.mktemp("year"), scale=0.03, seed=360, start=date(2025, 1, 1), days=365)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """The same year with no defects at all."""
    out = tmp_path_factory.mktemp("whole")
    return generate(out, scale=0.03, seed=360, start=date(2025, 1, 1), days=365, defects=False)
