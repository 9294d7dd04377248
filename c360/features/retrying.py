"""Which failures of DynamoDB pass by themselves, and how to wait for that: longer each time, and not all at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from c360.features.errors import StoreStopped

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tenacity import RetryCallState

T = TypeVar("T")
LOG = logging.getLogger("c360.features")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 5.0
PASSING = frozenset(
    {
        "ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded", "ThrottlingException",
        "ThrottlingError", "RequestLimitExceeded", "LimitExceededException", "TransactionConflict",
        "TransactionConflictException", "TransactionInProgressException", "ResourceInUseException",
        "InternalServerError", "InternalServerException", "ServiceUnavailable", "ServiceUnavailableException",
        "RequestTimeout", "RequestTimeoutException", "SlowDown",
    }
)  # fmt: skip
SERVER_ERROR, TOO_MANY = 500, 429


def code_of(error: Exception) -> str:
    """DynamoDB's word for what is wrong; empty where it is not DynamoDB that answered."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def passes(error: BaseException) -> bool:
    """Whether the same request may be granted a moment later: throttling, a failing server, a lost connection."""
    from botocore.exceptions import (  # type: ignore[import-untyped]
        ClientError,
        ConnectionError,  # noqa: A004 - botocore's own: nobody listens there, or not in time
        HTTPClientError,
    )

    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return code_of(error) in PASSING or status >= SERVER_ERROR or status == TOO_MANY
    return isinstance(error, HTTPClientError | ConnectionError)


class Retrying:
    """Runs requests until they are answered, or until ``ended`` is set; ``count`` of what was tried again."""

    def __init__(self, ended: threading.Event, on_retry: Callable[[], None] = lambda: None) -> None:
        self._ended, self._on_retry = ended, on_retry

    def __call__(self, request: Callable[[], T]) -> T:
        """The answer. Raises what does not pass by itself, and StoreStopped where it was told to end."""
        from tenacity import (
            RetryError,
            retry_if_exception,
            sleep_using_event,
            stop_when_event_set,
            wait_random_exponential,
        )
        from tenacity import Retrying as Attempts

        attempts = Attempts(
            retry=retry_if_exception(passes),
            wait=wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S),
            sleep=sleep_using_event(self._ended),
            stop=stop_when_event_set(self._ended),
            before_sleep=self._note,
        )
        try:
            return attempts(request)
        except RetryError as error:
            raise StoreStopped("The sink was ended while the store did not take its rows", "start it again") from error

    def wait(self, attempt: int) -> None:
        """Wait before the attempt of that number (from 1 on). Raises StoreStopped where it was told to end."""
        import random

        self._on_retry()
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
        if self._ended.wait(random.uniform(0, longest)):  # noqa: S311 - it only spreads the retries
            raise StoreStopped("The sink was ended while the store did not take its rows", "start it again")

    def _note(self, state: RetryCallState) -> None:
        self._on_retry()
        error = state.outcome.exception() if state.outcome else None
        level = logging.WARNING if state.attempt_number in {1, 10, 100} else logging.DEBUG
        LOG.log(level, "the store does not take it yet (attempt %d): %s", state.attempt_number, type(error).__name__)
