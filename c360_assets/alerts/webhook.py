"""Notices to an incoming webhook in Slack's form (Mattermost and Rocket.Chat take it too)."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from c360_assets.alerts.sinks import DeliveryFailed, summary, twice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import SecretStr

    from c360.settings import Settings
    from c360_assets.alerts.model import Notice

TIMEOUT = 3.0
"""Seconds to connect, and again to answer."""

_MEND = "check C360_ALERT_WEBHOOK_URL and that its server is up"
_SIGNS = {"raised": ":red_circle:", "worsened": ":red_circle:", "recovered": ":large_green_circle:"}


class WebhookSink:
    """Posts one message for up to ``batch`` notices."""

    name: ClassVar[str] = "webhook"
    batch: ClassVar[int] = 20

    def __init__(self, url: SecretStr) -> None:
        self._url = url

    @classmethod
    def of(cls, settings: Settings) -> WebhookSink:
        """The webhook of the settings, which refuse to be without its address."""
        assert settings.alert_webhook_url is not None
        return cls(settings.alert_webhook_url)

    def send(self, notices: Sequence[Notice]) -> None:
        """Post the notices, at most twice. Raises DeliveryFailed without the address in it."""
        message = {"text": "\n".join([f"*Customer 360: {summary(notices)}*", *map(_entry, notices)])}
        twice(lambda: self._post(message))

    def _post(self, message: dict[str, str]) -> None:
        import httpx

        url = self._url.get_secret_value()
        try:
            with _unlogged(url), httpx.Client(timeout=TIMEOUT) as client:
                status = client.post(url, json=message).status_code
        except httpx.InvalidURL:
            raise DeliveryFailed("The webhook's address is not one", _MEND) from None
        except httpx.HTTPError as error:
            # The cause would carry the request, and with it the address.
            raise DeliveryFailed(f"The webhook failed ({type(error).__name__})", _MEND, passing=True) from None
        if not httpx.codes.is_success(status):
            passing = status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR
            raise DeliveryFailed(f"The webhook answers {status}", _MEND, passing=passing)


def _entry(notice: Notice) -> str:
    link = f" <{_escaped(notice.link)}|open>" if notice.link else ""
    return f"{_SIGNS[notice.kind]} *{_escaped(notice.headline)}*{link}\n{_escaped(notice.text)}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@contextmanager
def _unlogged(secret: str) -> Iterator[None]:
    """Keep httpx from logging the address of the request, which is the webhook's secret."""

    def silent(record: logging.LogRecord) -> bool:
        return secret not in record.getMessage()

    log = logging.getLogger("httpx")
    log.addFilter(silent)
    try:
        yield
    finally:
        log.removeFilter(silent)
