"""A client of DynamoDB for a reader or a writer: where it is, who asks, and how long it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from c360.settings import Settings

LOCAL_REGION = "us-east-1"
"""DynamoDB Local wants a region and some credentials, and cares for neither."""
_TIMES = {"writer": (3.0, 20.0), "reader": (0.25, 0.5)}
"""Seconds to connect and to wait for an answer."""
CONNECTIONS = 10


def client_of(settings: Settings, use: Literal["writer", "reader"]) -> Any:
    """A client for any thread; nothing is asked yet.

    It never tries again by itself: the writer has to know what was retried, and a reader has no time for it. Where the
    settings name an endpoint or a region, credentials are AWS's own (environment, profile, role).
    """
    import botocore.session  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    connect, read = _TIMES[use]
    config = Config(
        connect_timeout=connect,
        read_timeout=read,
        retries={"total_max_attempts": 1},
        max_pool_connections=CONNECTIONS,
        # The rows were read by their contract; to look through each again costs more than to write it.
        parameter_validation=False,
        user_agent_extra="c360",
    )
    outside = settings.dynamodb_endpoint or settings.dynamodb_region
    local = {} if outside else {"aws_access_key_id": "c360", "aws_secret_access_key": "c360"}
    return botocore.session.get_session().create_client(
        "dynamodb",
        region_name=settings.dynamodb_region or LOCAL_REGION,
        endpoint_url=settings.dynamodb_address or None,
        config=config,
        **local,
    )
