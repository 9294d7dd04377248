"""Each sink against a real server that takes, refuses, fails, hangs or is not there."""

from __future__ import annotations

import base64
import json
import logging
import os
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.policy import default
from pathlib import Path

import pytest
from pydantic import SecretStr

from c360.errors import SettingsError
from c360.settings import Settings
from c360_assets.alerts import mail, sinks, webhook
from c360_assets.alerts.delivery import Delivered, deliver
from c360_assets.alerts.model import Notice
from c360_assets.alerts.sinks import FileSink, LogSink, Sink, sinks_of
from tests.conftest import free_port
from tests.unit.alerts.servers import Hook, hook_server, mail_server

NOW = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)
PASSWORD = "mail-password-42"


def notice(number: int = 1, title: str = "Job nightly failed") -> Notice:
    return Notice("raised", f"run:{number}", "error", title, "disk full", f"http://ui/runs/{number}", NOW)


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("C360_ALERT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(webhook, "TIMEOUT", 0.3)
    monkeypatch.setattr(mail, "TIMEOUT", 0.5)
    monkeypatch.setattr(sinks, "PAUSE", 0.01)


def hooked(tmp_path: Path, url: str) -> Settings:
    return Settings(home=tmp_path, alert_sinks="webhook", alert_webhook_url=SecretStr(url))


def mailing(tmp_path: Path, port: int, tls: str = "none") -> Settings:
    return Settings(
        home=tmp_path,
        alert_sinks="smtp",
        alert_smtp_host="localhost",
        alert_smtp_port=port,
        alert_smtp_tls=tls,  # type: ignore[arg-type]
        alert_smtp_from="C360 <c360@example.com>",
        alert_smtp_to="ann@example.com, bob@example.com",
        alert_smtp_user="c360" if tls != "none" else None,
        alert_smtp_password=SecretStr(PASSWORD) if tls != "none" else None,
    )


def send(settings: Settings, *notices: Notice, seconds: float = 10.0) -> Delivered:
    (sink,) = sinks_of(settings, logging.getLogger("test"))
    return deliver({sink.name: notices}, [sink], seconds)[sink.name]


def test_webhook_gets_slacks_form_with_links_and_escapes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with hook_server() as hook:
        done = send(hooked(tmp_path, hook.url), notice(title="a < b & c"), notice(2))
    assert done == Delivered(2, [], None)
    (message,) = hook.messages
    assert message.splitlines() == [
        "*Customer 360: 2 raised*",
        ":red_circle: *ERROR: a &lt; b &amp; c* <http://ui/runs/1|open>",
        "disk full",
        ":red_circle: *ERROR: Job nightly failed* <http://ui/runs/2|open>",
        "disk full",
    ]
    assert "hook-secret" not in caplog.text


def test_webhook_is_tried_once_more_after_a_passing_fault_and_only_then(tmp_path: Path) -> None:
    with hook_server() as hook:
        hook.statuses = [503]
        assert send(hooked(tmp_path, hook.url), notice()) == Delivered(1, [], None)
        assert hook.tried == 2
        hook.status, hook.tried = 500, 0
        done = send(hooked(tmp_path, hook.url), notice())
        assert (done.sent, done.remaining, hook.tried) == (0, [notice()], 2)
        assert done.cause is not None
        assert "answers 500" in done.cause
        hook.status, hook.tried = 404, 0
        send(hooked(tmp_path, hook.url), notice())
        assert hook.tried == 1


def test_webhook_that_fails_half_way_keeps_only_what_it_did_not_take(tmp_path: Path) -> None:
    notices = [notice(n) for n in range(50)]
    with hook_server() as hook:
        hook.statuses = [200, 200, 500, 500]
        done = send(hooked(tmp_path, hook.url), *notices)
    assert (done.sent, done.remaining) == (40, notices[40:])


def hanging(hook: Hook) -> str:
    hook.hangs = True
    return hook.url


def refusing(hook: Hook) -> str:
    return hook.url.replace(hook.url.split("/")[2], f"127.0.0.1:{free_port()}")


def no_address(hook: Hook) -> str:
    return "http://127.0.0.1:99999/hook-secret-1234"


@pytest.mark.parametrize("address", [hanging, refusing, no_address])
def test_webhook_that_is_not_there_costs_little_time_and_tells_no_secret(
    tmp_path: Path, address: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with hook_server() as hook:
        start = time.monotonic()
        done = send(hooked(tmp_path, address(hook)), notice())  # type: ignore[operator]
        assert time.monotonic() - start < 5
    assert (done.sent, done.remaining) == (0, [notice()])
    assert done.cause is not None
    assert "C360_ALERT_WEBHOOK_URL" in done.cause
    assert "hook-secret" not in done.cause + caplog.text


def test_a_sink_without_any_timeout_is_left_behind_and_holds_up_no_other(tmp_path: Path) -> None:
    class Stuck:
        name = "stuck"
        batch = 10

        def send(self, notices: object) -> None:
            time.sleep(3)

    class Broken(Stuck):
        name = "broken"

        def send(self, notices: object) -> None:
            raise RuntimeError(PASSWORD)

    file = FileSink(tmp_path / "alerts.jsonl")
    chosen: list[Sink] = [Stuck(), Broken(), file]
    start = time.monotonic()
    done = deliver({sink.name: [notice()] for sink in chosen}, chosen, 0.3)
    assert time.monotonic() - start < 2
    assert done["file"] == Delivered(1, [], None)
    assert done["stuck"].remaining == done["broken"].remaining == [notice()]
    assert "no answer within 0.3 s" in str(done["stuck"].cause)
    assert done["broken"].cause == "RuntimeError in the sink 'broken'"


def test_file_gets_a_json_object_per_line(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new", alert_sinks="file")
    send(settings, notice(1))
    send(settings, notice(2), notice(3, "ümlaut"))
    lines = [json.loads(text) for text in (tmp_path / "new/alerts.jsonl").read_text().splitlines()]
    assert [entry["key"] for entry in lines] == ["run:1", "run:2", "run:3"]
    assert lines[2] == {
        "kind": "raised",
        "key": "run:3",
        "severity": "error",
        "title": "ümlaut",
        "text": "disk full",
        "link": "http://ui/runs/3",
        "at": "2025-03-01T10:00:00Z",
    }


def test_file_that_cannot_be_written_keeps_its_notices(tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").mkdir()
    done = send(Settings(home=tmp_path, alert_sinks="file"), notice())
    assert done.remaining == [notice()]
    assert "C360_HOME" in str(done.cause)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_file_on_a_full_disk_keeps_its_notices(tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").symlink_to("/dev/full")
    assert send(Settings(home=tmp_path, alert_sinks="file"), notice()).remaining == [notice()]


def test_log_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "test")
    warning = Notice("raised", "k", "warning", "t", "100%", "l", NOW)
    recovered = Notice("recovered", "k", "error", "t", "x", "l", NOW)
    LogSink(logging.getLogger("test")).send([notice(), warning, recovered])
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "INFO"]
    assert caplog.messages[0] == "ERROR: Job nightly failed. disk full http://ui/runs/1"


def test_mail_reaches_all_readers_and_names_itself(tmp_path: Path) -> None:
    with mail_server() as box:
        settings = mailing(tmp_path, box.port)
        assert send(settings, notice(title="Jöb failed"), notice(2)) == Delivered(2, [], None)
        send(settings, notice(title="Jöb failed"), notice(2))
        send(settings, notice(3))
    first, again, other = (message_from_string(text, policy=default) for text in box.mails)
    assert first["Subject"] == "[c360] 2 raised: Jöb failed"
    assert first["To"] == "ann@example.com, bob@example.com"
    assert first["From"] == "C360 <c360@example.com>"
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
    body = first.get_content()
    assert "ERROR: Jöb failed\ndisk full\n2025-03-01 10:00:00 UTC\nhttp://ui/runs/1\n" in body.replace("\r\n", "\n")
    assert "http://ui/runs/2" in body


def certificate(folder: Path) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return public, private


def test_password_goes_only_through_an_encrypted_and_verified_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    with mail_server(context) as box:
        settings = mailing(tmp_path, box.port, "starttls")
        unknown = send(settings, notice())
        assert unknown.remaining == [notice()]
        assert "encryption" in str(unknown.cause)
        assert box.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        assert send(settings, notice()) == Delivered(1, [], None)
        expected = base64.b64encode(f"\0c360\0{PASSWORD}".encode()).decode()
        assert box.logins == [(expected, True)]
    with mail_server() as plain:
        done = send(mailing(tmp_path, plain.port, "starttls"), notice())
        assert done.remaining == [notice()]
        assert plain.logins == []
        assert PASSWORD not in str(done.cause)


def test_mail_server_that_refuses_or_hangs_or_is_not_there(tmp_path: Path) -> None:
    with mail_server() as box:
        box.refuse = 451
        assert "451" in str(send(mailing(tmp_path, box.port), notice()).cause)
        box.refuse = None
        assert send(mailing(tmp_path, box.port), notice()).cause is None
    assert send(mailing(tmp_path, free_port()), notice()).remaining == [notice()]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        done = send(mailing(tmp_path, silent.getsockname()[1]), notice())
        assert time.monotonic() - start < 5
        assert done.remaining == [notice()]


@pytest.mark.parametrize(
    ("chosen", "mend"),
    [
        ({"alert_sinks": "log,pager"}, "log, file, webhook, smtp"),
        ({"alert_sinks": "webhook"}, "C360_ALERT_WEBHOOK_URL"),
        ({"alert_sinks": "webhook", "alert_webhook_url": "hook-secret-1234"}, "C360_ALERT_WEBHOOK_URL"),
        ({"alert_sinks": "smtp", "alert_smtp_host": "mail"}, "C360_ALERT_SMTP_FROM and C360_ALERT_SMTP_TO"),
    ],
)
def test_a_sink_without_its_address_is_refused_at_start(chosen: dict[str, str], mend: str) -> None:
    with pytest.raises(SettingsError, match=mend) as refused:
        Settings(**chosen)  # type: ignore[arg-type]
    assert "hook-secret" not in str(refused.value)


def test_a_password_is_never_sent_unencrypted(tmp_path: Path) -> None:
    known = {"alert_sinks": "smtp", "alert_smtp_host": "m", "alert_smtp_from": "a@b", "alert_smtp_to": "a@b"}
    with pytest.raises(SettingsError, match="C360_ALERT_SMTP_TLS"):
        Settings(**known, alert_smtp_user="u", alert_smtp_password="p", alert_smtp_tls="none")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="neither"):
        Settings(**known, alert_smtp_user="u")  # type: ignore[arg-type]


def test_sinks_by_default_and_none(tmp_path: Path) -> None:
    log = logging.getLogger("test")
    assert [sink.name for sink in sinks_of(Settings(home=tmp_path), log)] == ["log", "file"]
    assert sinks_of(Settings(home=tmp_path, alert_sinks=""), log) == ()
