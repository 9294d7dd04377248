"""Notices as mail through an SMTP server."""

from __future__ import annotations

import hashlib
import logging
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, ClassVar

from c360_assets.alerts.model import line
from c360_assets.alerts.sinks import DeliveryFailed, summary, twice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.settings import Settings
    from c360_assets.alerts.model import Notice

TIMEOUT = 3.0
"""Seconds that each exchange with the server may take."""

_MEND = "check C360_ALERT_SMTP_HOST, _PORT, _TLS, _USER and _PASSWORD"
_PASSING_CODES = range(400, 500)
_LOG = logging.getLogger(__name__)


class MailSink:
    """Sends one mail for up to ``batch`` notices."""

    name: ClassVar[str] = "smtp"
    batch: ClassVar[int] = 50

    def __init__(self, settings: Settings, host: str, sender: str, readers: Sequence[str]) -> None:
        self._settings = settings
        self._host = host
        self._sender = sender
        self._readers = tuple(readers)

    @classmethod
    def of(cls, settings: Settings) -> MailSink:
        """The mail of the settings, which refuse to be without server, sender and readers."""
        host, sender, readers = settings.alert_smtp_host, settings.alert_smtp_from, settings.alert_smtp_to
        assert host is not None
        assert sender is not None
        assert readers is not None
        return cls(settings, host, sender, [reader.strip() for reader in readers.split(",") if reader.strip()])

    def send(self, notices: Sequence[Notice]) -> None:
        """Send the notices, at most twice. Raises DeliveryFailed without a secret in it."""
        message = self._message(notices)
        twice(lambda: self._hand_over(message))

    def _message(self, notices: Sequence[Notice]) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["Subject"] = line(f"[c360] {summary(notices)}: {notices[0].title}", 150)
        message["From"] = self._sender
        message["To"] = ", ".join(self._readers)
        message["Date"] = format_datetime(notices[-1].at)
        # The same notices have the same id, so that a reader's program can drop a mail that arrives twice.
        digest = hashlib.sha256(repr(list(notices)).encode()).hexdigest()[:32]
        message["Message-ID"] = f"<{digest}@{self._sender.rpartition('@')[2].strip(' <>') or 'c360'}>"
        message["Auto-Submitted"] = "auto-generated"
        entries = (f"{n.headline}\n{n.text}\n{n.at:%Y-%m-%d %H:%M:%S} UTC\n{n.link}\n" for n in notices)
        message.set_content("\n".join(entries), cte="quoted-printable")
        return message

    def _hand_over(self, message: EmailMessage) -> None:
        try:
            with self._connect() as server:
                refused = server.send_message(message)
        except smtplib.SMTPResponseException as error:
            raise DeliveryFailed(
                f"The mail server answers {error.smtp_code} ({type(error).__name__})",
                _MEND,
                passing=error.smtp_code in _PASSING_CODES,
            ) from None
        except smtplib.SMTPRecipientsRefused:
            raise DeliveryFailed("The mail server refuses all readers", "check C360_ALERT_SMTP_TO") from None
        except smtplib.SMTPNotSupportedError:
            raise DeliveryFailed("The mail server does not offer what the settings ask for", _MEND) from None
        except ssl.SSLError as error:
            raise DeliveryFailed(f"The mail server's encryption fails ({type(error).__name__})", _MEND) from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(f"The mail server failed ({type(error).__name__})", _MEND, passing=True) from None
        if refused:
            _LOG.warning("The mail server refuses %d of %d readers of alerts.", len(refused), len(self._readers))

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        # Without a name of its own smtplib asks the resolver, which has no timeout.
        host, port, own = self._host, settings.alert_smtp_port, socket.gethostname()
        if settings.alert_smtp_tls == "tls":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, own, timeout=TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(host, port, own, timeout=TIMEOUT)
        try:
            if settings.alert_smtp_tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.alert_smtp_user and settings.alert_smtp_password:
                server.login(settings.alert_smtp_user, settings.alert_smtp_password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server
