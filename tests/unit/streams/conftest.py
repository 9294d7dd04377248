from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from c360.lakehouse import Lakehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from c360.settings import Settings


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lakehouse]:
    with Lakehouse(settings) as lake:
        yield lake
