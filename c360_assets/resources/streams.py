"""Streaming jobs as a Dagster resource: Flink, its SQL Gateway and the records of this home folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from c360.settings import Settings

if TYPE_CHECKING:
    from c360.streams.runner import Streams


class StreamsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Gives a step or a sensor the streams. ``home`` overrides ``C360_HOME``, for tests."""

    home: str | None = None

    def settings(self) -> Settings:
        """The settings of this process, with ``home`` applied."""
        return Settings() if self.home is None else Settings(home=self.home)  # type: ignore[arg-type]

    @contextmanager
    def open(self) -> Iterator[Streams]:
        """The streams for a block. Their methods raise C360Error naming the mend."""
        from c360.streams.runner import Streams

        streams = Streams(self.settings())
        try:
            yield streams
        finally:
            streams.close()
