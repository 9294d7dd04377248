"""Download one file so that what appears under its final name is always whole and verified.

A partial or wrong file never gets the final name: bytes go to a neighbour first, are hashed while they arrive, and are
moved into place atomically, under a lock that other processes of the same user respect.
"""

from __future__ import annotations

import errno
import hashlib
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import tenacity
from filelock import FileLock

from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ATTEMPTS = 4
CHUNK = 1 << 18
TIMEOUT = httpx.Timeout(20.0, connect=10.0)


class _Transient(Exception):
    """A failure that another attempt may mend."""


@dataclass(frozen=True)
class Digest:
    """What was received: SHA-256 as hex, and the size in bytes."""

    sha256: str
    size: int


def client() -> httpx.Client:
    """HTTP client that trusts the system's certificates (and ``SSL_CERT_FILE``), follows redirects, obeys proxies."""
    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        import certifi

        # Interpreters built to run anywhere may look for the system's store in a folder this system does not have.
        context.load_verify_locations(certifi.where())
    return httpx.Client(verify=context, timeout=TIMEOUT, follow_redirects=True)


def digest(path: Path) -> Digest:
    """Hash a file; raises ``OSError``."""
    with path.open("rb") as stream:
        return Digest(hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell())


def download(
    http: httpx.Client,
    url: str,
    target: Path,
    expected: Digest | None,
    progress: Callable[[int], None] = lambda _: None,
) -> Digest:
    """Bring ``url`` to ``target`` and return its digest; a verified ``target`` is left as it is.

    Args:
        http: client to use; safe to share between threads.
        url: address of the file.
        target: final path; its folder is created.
        expected: digest that the bytes must have; None accepts any (used when a lock is first written).
        progress: called with the number of bytes that are there so far.

    Raises:
        EngineError: no network, not found, wrong content, or the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if expected is not None and _verified(target, expected):
                progress(expected.size)
                return expected
            return _attempts(http, url, target, expected, progress)
    except OSError as error:
        raise _unwritable(target, error) from error


def _verified(target: Path, expected: Digest) -> bool:
    if not target.exists():
        return False
    if digest(target) == expected:
        return True
    target.unlink()
    return False


def _attempts(
    http: httpx.Client, url: str, target: Path, expected: Digest | None, progress: Callable[[int], None]
) -> Digest:
    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=0.3, max=5.0) + tenacity.wait_random(0.0, 0.3),
        retry=tenacity.retry_if_exception_type(_Transient),
        reraise=True,
    )
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        return attempts(_once, http, url, target, partial, expected, progress)
    except _Transient as error:
        raise EngineError(
            f"{url} cannot be downloaded after {ATTEMPTS} attempts ({error})",
            "check the network (HTTPS_PROXY, SSL_CERT_FILE), or name a reachable mirror in C360_MAVEN_MIRROR",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _once(
    http: httpx.Client,
    url: str,
    target: Path,
    partial: Path,
    expected: Digest | None,
    progress: Callable[[int], None],
) -> Digest:
    hasher, size = hashlib.sha256(), 0
    try:
        with http.stream("GET", url) as response, partial.open("wb") as stream:
            _refuse(response, url)
            for chunk in response.iter_bytes(CHUNK):
                stream.write(chunk)
                hasher.update(chunk)
                size += len(chunk)
                progress(size)
            stream.flush()
            os.fsync(stream.fileno())
    except httpx.TransportError as error:
        raise _Transient(str(error) or type(error).__name__) from error
    except httpx.InvalidURL as error:
        raise EngineError(f"{url} is not a web address", "correct C360_MAVEN_MIRROR") from error
    received = Digest(hasher.hexdigest(), size)
    if expected is not None and received != expected:
        if size < expected.size:
            raise _Transient(f"only {size} of {expected.size} bytes arrived")
        raise EngineError(
            f"{url} has SHA-256 {received.sha256}, but jars.lock says {expected.sha256}; it was deleted, not used",
            "use a mirror that serves the original (C360_MAVEN_MIRROR); re-lock only if the change is intended",
        )
    partial.replace(target)
    return received


def _refuse(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == httpx.codes.NOT_FOUND:
        raise EngineError(
            f"{url} does not exist (404)",
            "check the coordinates in jars.toml, or whether C360_MAVEN_MIRROR mirrors the whole repository",
        )
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _Transient(f"HTTP {status}")
    if status != httpx.codes.OK:
        raise EngineError(f"{url} was refused with HTTP {status}", "check C360_MAVEN_MIRROR and its access rights")


def _unwritable(target: Path, error: OSError) -> EngineError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return EngineError(
        f"{target} cannot be written ({error.strerror or error})",
        "free some space, or set C360_JAR_CACHE to a larger disk"
        if full
        else "set C360_JAR_CACHE to a folder that this user may write",
    )
