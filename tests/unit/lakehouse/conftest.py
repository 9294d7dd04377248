from __future__ import annotations

from collections.abc import Iterator

import pytest

from c360.lakehouse import Lakehouse
from c360.settings import Settings


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lakehouse]:
    with Lakehouse(settings) as lake:
        yield lake
