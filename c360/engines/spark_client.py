"""Sessions on a Spark Connect server that say within seconds when there is none, or when it went away."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from c360.engines import ports
from c360.engines.spark_faults import faults_named
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import RetryPolicy

    from c360.settings import Settings

ANSWER_TIMEOUT = 8.0  # seconds for a server that accepts a connection and says nothing
GIVEN_UP_FOR = 10.0  # seconds in which no call waits again for a server that was found to be gone
REFUSED_TIMEOUT = 3.0  # seconds for a port that nothing listens on


def remote_address(settings: Settings) -> str:
    """Address of the Spark of these settings."""
    return settings.spark_remote or f"sc://{ports.LOOPBACK}:{settings.spark_port}"


def connect(settings: Settings) -> SparkSession:
    """A fresh session on the Spark of these settings; end it with ``stop()``.

    The client's own policy retries for minutes when a server is gone. Here every call, now or later, gives up within
    seconds.

    Raises:
        EngineError: no server answers. Calls on the session raise it too when the server goes away later.
    """
    import grpc  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException
    from pyspark.sql.connect.client.core import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    remote = remote_address(settings)
    mend = (
        "check C360_SPARK_REMOTE"
        if settings.spark_remote
        else f"start it with `c360 up spark`; {settings.log_dir / 'spark.log'} may say why it ended"
    )
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # pyspark.sql.functions then build plans instead of asking for a JVM
    try:
        builder = DefaultChannelBuilder(remote)
        _wait_for_port(builder.endpoint)
        channel = builder.toChannel()
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER_TIMEOUT)
        finally:
            channel.close()
        spark = ConnectSession.builder.channelBuilder(builder).create()
        spark.client.set_retry_policies([_bounded(remote, mend)])
        spark.version  # noqa: B018 - the first call that needs the server to understand us
    except (grpc.FutureTimeoutError, grpc.RpcError, PySparkException, OSError) as error:
        raise _no_answer(remote, mend, error) from error
    return cast("SparkSession", spark)


@contextmanager
def session(settings: Settings) -> Iterator[SparkSession]:
    """``connect`` for the length of a block; the server forgets the session's temporary views afterwards.

    Unlike ``stop()``, its end does not wait for a server that is gone.

    Raises:
        EngineError: as ``connect``; also for a full disk and the like under a query of the block.
    """
    spark = connect(settings)
    try:
        with faults_named():
            yield spark
    finally:
        if not _listens(_endpoint(remote_address(settings))):
            spark.release_session_on_close = False  # type: ignore[attr-defined]
        spark.stop()


def _endpoint(remote: str) -> str:
    from pyspark.sql.connect.client.core import DefaultChannelBuilder

    return DefaultChannelBuilder(remote).endpoint


def _listens(endpoint: str) -> bool:
    host, _, port = endpoint.rpartition(":")
    return ports.answers(int(port), host.strip("[]"))


def _wait_for_port(endpoint: str) -> None:
    """A refused connection is known at once; gRPC would hide it behind its own back-off."""
    deadline = time.monotonic() + REFUSED_TIMEOUT
    while not _listens(endpoint):
        if time.monotonic() > deadline:
            raise ConnectionRefusedError("nothing listens there")
        time.sleep(0.2)


def _bounded(remote: str, mend: str) -> RetryPolicy:
    """Retry policy that spends about five seconds and then raises EngineError, at once for a while afterwards.

    A query is several calls, some in the background; were each to wait on its own, the answer would take long.
    """
    from pyspark.sql.connect.client.retries import DefaultPolicy, RetryPolicyState

    given_up = float("-inf")

    class State(RetryPolicyState):
        def next_attempt(self, exception: BaseException | None = None) -> int:
            nonlocal given_up
            wait = super().next_attempt(exception)
            if wait is None or time.monotonic() - given_up < GIVEN_UP_FOR:
                given_up = time.monotonic()
                raise _no_answer(remote, mend, exception) from exception
            return wait

    class Bounded(DefaultPolicy):
        def to_state(self) -> RetryPolicyState:
            return State(self)

    return Bounded(
        max_retries=6, initial_backoff=100, backoff_multiplier=2.0, max_backoff=2000, max_server_retry_delay=2000
    )


def _no_answer(remote: str, mend: str, error: BaseException | None) -> EngineError:
    details = getattr(error, "details", None)
    text = str(details() if callable(details) else error).strip() or "no answer in time"
    return EngineError(f"Spark does not answer at {remote} ({text.splitlines()[0][:200]})", mend)
