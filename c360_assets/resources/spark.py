"""Spark as a Dagster resource: a Spark Connect client, so that a step costs a session instead of a JVM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from c360.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Sessions of the Spark Connect server at ``C360_SPARK_REMOTE``, or of the local stack."""

    remote: str | None = None

    @contextmanager
    def session(self) -> Iterator[SparkSession]:
        """A session of its own for one step, released afterwards. Raises EngineError if no server answers."""
        from c360.engines.spark import session

        with session(Settings() if self.remote is None else Settings(spark_remote=self.remote)) as client:
            yield client
