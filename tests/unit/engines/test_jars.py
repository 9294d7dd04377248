"""Jars come whole, verified and once, or not at all, with a sentence that says what to do."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from c360.engines import jars
from c360.errors import EngineError
from c360.settings import Settings
from tests.unit.engines.mirror import Answer, Mirror, body, status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = os.urandom(300_000)
PATH = "org/example/thing/1.0/thing-1.0.jar"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    yield mirror
    mirror.close()


class Repo:
    """``jars.toml`` and ``jars.lock`` of one jar, and a cache of the test's own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.wanted, self.lock = folder / "jars.toml", folder / "jars.lock"
        self.wanted.write_text('[groups]\nthing = ["org.example:thing:1.0"]\n')
        self.pin(BODY)
        self.settings = Settings(home=folder / "home", jar_cache=folder / "cache", maven_mirror=url + "/")
        self.target = self.settings.jar_cache / PATH

    def pin(self, data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        self.lock.write_text(
            f'[[jar]]\ngroup = "thing"\ncoordinates = "org.example:thing:1.0"\npath = "{PATH}"\n'
            f'sha256 = "{sha256}"\nsize = {len(data)}\n'
        )

    def fetch(self, *names: str) -> list[Path]:
        return jars.fetch(names or ("thing",), self.settings, quiet=True, wanted_path=self.wanted, lock_path=self.lock)

    def leftovers(self) -> list[str]:
        files = self.settings.jar_cache.rglob("*") if self.settings.jar_cache.exists() else []
        return [file.name for file in files if file.is_file() and file.suffix != ".lock"]


@pytest.fixture
def repo(tmp_path: Path, mirror: Mirror) -> Repo:
    return Repo(tmp_path, mirror.url)


def test_fetched_once_and_identical(repo: Repo, mirror: Mirror) -> None:
    mirror.answers[PATH] = [body(BODY)]
    assert repo.fetch() == [repo.target]
    assert repo.fetch() == [repo.target]
    assert repo.target.read_bytes() == BODY
    assert mirror.requests == {PATH: 1}
    assert repo.leftovers() == ["thing-1.0.jar"]


def test_damaged_cache_is_replaced(repo: Repo, mirror: Mirror) -> None:
    mirror.answers[PATH] = [body(BODY)]
    repo.fetch()
    repo.target.write_bytes(BODY[:-1] + bytes([BODY[-1] ^ 1]))
    repo.fetch()
    assert repo.target.read_bytes() == BODY
    assert mirror.requests == {PATH: 2}


def test_not_found_names_the_coordinates_file(repo: Repo, mirror: Mirror) -> None:
    with pytest.raises(EngineError, match=r"404.*jars\.toml"):
        repo.fetch()
    assert mirror.requests == {PATH: 1}
    assert repo.leftovers() == []


def test_wrong_hash_is_deleted_and_never_used(repo: Repo, mirror: Mirror) -> None:
    mirror.answers[PATH] = [body(BODY[::-1])]
    with pytest.raises(EngineError, match=r"SHA-256 .* deleted, not used"):
        repo.fetch()
    assert mirror.requests == {PATH: 1}
    assert repo.leftovers() == []


def test_too_long_body_is_refused(repo: Repo, mirror: Mirror) -> None:
    mirror.answers[PATH] = [body(BODY + b"x")]
    with pytest.raises(EngineError, match="deleted, not used"):
        repo.fetch()
    assert repo.leftovers() == []


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(body(BODY[:100_000], promised=len(BODY)), id="connection closed in the middle"),
        pytest.param(body(BODY[:100_000]), id="short, and declared so"),
        pytest.param(status(503), id="busy"),
        pytest.param(status(429), id="too many requests"),
    ],
)
def test_passing_failures_are_retried(repo: Repo, mirror: Mirror, first: Answer) -> None:
    mirror.answers[PATH] = [first, body(BODY)]
    repo.fetch()
    assert repo.target.read_bytes() == BODY
    assert mirror.requests == {PATH: 2}


def test_body_that_is_always_truncated_gives_up(repo: Repo, mirror: Mirror) -> None:
    mirror.answers[PATH] = [body(BODY[:1000], promised=len(BODY))]
    with pytest.raises(EngineError, match=r"after 4 attempts.*C360_MAVEN_MIRROR"):
        repo.fetch()
    assert mirror.requests == {PATH: 4}
    assert repo.leftovers() == []


def test_no_network_gives_up_with_the_mend(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        repo = Repo(tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(EngineError, match=r"cannot be downloaded.*HTTPS_PROXY.*C360_MAVEN_MIRROR"):
            repo.fetch()
    assert repo.leftovers() == []


def test_mirror_that_is_no_address(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="C360_MAVEN_MIRROR"):
        Repo(tmp_path, "mirror.example/maven").fetch()


def test_cache_that_cannot_be_written(repo: Repo, mirror: Mirror) -> None:
    mirror.answers[PATH] = [body(BODY)]
    repo.settings.jar_cache.write_text("a file where the folder should be")
    with pytest.raises(EngineError, match=r"cannot be written.*C360_JAR_CACHE"):
        repo.fetch()


def test_two_processes_download_once(repo: Repo, mirror: Mirror) -> None:
    mirror.answers[PATH] = [body(BODY, pause=2.0)]
    script = (
        "import sys; from pathlib import Path; from c360.engines import jars; from c360.settings import Settings\n"
        "wanted, lock = map(Path, sys.argv[1:])\n"
        "print(*jars.fetch(['thing'], Settings(), quiet=True, wanted_path=wanted, lock_path=lock))"
    )
    env = os.environ | {"C360_JAR_CACHE": str(repo.settings.jar_cache), "C360_MAVEN_MIRROR": mirror.url}
    command = [sys.executable, "-c", script, str(repo.wanted), str(repo.lock)]
    processes = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert outputs == [str(repo.target)] * 2
    assert mirror.requests == {PATH: 1}


def test_unknown_group(repo: Repo) -> None:
    with pytest.raises(EngineError, match=r"no group 'other'.*thing"):
        repo.fetch("other")


def test_lock_older_than_wanted(repo: Repo) -> None:
    repo.wanted.write_text('[groups]\nthing = ["org.example:thing:1.1"]\n')
    with pytest.raises(EngineError, match="c360 jars lock"):
        repo.fetch()


def test_relock_pins_what_was_served(repo: Repo, mirror: Mirror) -> None:
    newer = os.urandom(1000)
    mirror.answers[PATH] = [body(newer)]
    mirror.answers[f"{PATH}.sha1"] = [body(hashlib.sha1(newer).hexdigest().encode() + b"  thing-1.0.jar\n")]
    jars.lock(repo.settings, quiet=True, wanted_path=repo.wanted, lock_path=repo.lock)
    text = repo.lock.read_text()
    assert hashlib.sha256(newer).hexdigest() in text
    assert "://" not in text
    repo.fetch()
    assert repo.target.read_bytes() == newer


def test_relock_refuses_what_differs_from_the_published_checksum(repo: Repo, mirror: Mirror) -> None:
    before = repo.lock.read_text()
    mirror.answers[PATH] = [body(BODY)]
    mirror.answers[f"{PATH}.sha1"] = [body(hashlib.sha1(b"other").hexdigest().encode())]
    with pytest.raises(EngineError, match="published checksum"):
        jars.lock(repo.settings, quiet=True, wanted_path=repo.wanted, lock_path=repo.lock)
    assert repo.lock.read_text() == before
    assert repo.leftovers() == []


def test_shipped_lock_fits_the_shipped_list() -> None:
    wanted = [(group, c) for group, coordinates in jars.wanted().items() for c in coordinates]
    assert [(jar.group, jar.coordinates) for jar in jars.locked()] == wanted
    for jar in jars.locked():
        assert jar.path == jars.repository_path(jar.coordinates)
        assert len(bytes.fromhex(jar.digest.sha256)) == 32
        assert jar.digest.size > 0
    assert "://" not in jars.LOCK.read_text()


def test_iceberg_jars_of_one_engine_have_one_version() -> None:
    for groups in ({"spark", "s3"}, {"flink"}):  # each engine's own; Flink's runtime is released later than Spark's
        iceberg = [jar for jar in jars.locked() if jar.group in groups and jar.path.startswith("org/apache/iceberg/")]
        assert len({jar.coordinates.split(":")[2] for jar in iceberg}) == 1


@pytest.mark.parametrize(
    ("coordinates", "path"),
    [
        ("org.a.b:c-d_2.13:1.0", "org/a/b/c-d_2.13/1.0/c-d_2.13-1.0.jar"),
        (
            "org.gaul:s3proxy:4.1.0:jar-with-dependencies",
            "org/gaul/s3proxy/4.1.0/s3proxy-4.1.0-jar-with-dependencies.jar",
        ),
        ("io.x:app:3.3:all@tar.gz", "io/x/app/3.3/app-3.3-all.tar.gz"),
    ],
)
def test_repository_path(coordinates: str, path: str) -> None:
    assert jars.repository_path(coordinates) == path


@pytest.mark.parametrize("coordinates", ["", "a:b", "a:b:../../etc/passwd", "a:b:c d"])
def test_bad_coordinates(coordinates: str) -> None:
    with pytest.raises(EngineError, match="are not coordinates"):
        jars.repository_path(coordinates)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with the openssl command")
def test_certificates_named_by_the_environment_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    mirror = Mirror(context)
    try:
        mirror.answers[PATH] = [body(BODY)]
        repo = Repo(tmp_path, mirror.url)
        with pytest.raises(EngineError, match="SSL_CERT_FILE"):
            repo.fetch()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert repo.fetch() == [repo.target]
    finally:
        mirror.close()
