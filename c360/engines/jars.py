"""Jars by group: ``jars.toml`` says which are wanted, ``jars.lock`` pins their bytes, ``fetch`` brings them.

The lock holds repository paths and SHA-256 only, so any mirror may serve them and none has to be trusted.
"""

from __future__ import annotations

import os
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from c360.engines.download import Digest, client, digest, download
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from c360.settings import Settings

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
WANTED = Path(__file__).with_name("jars.toml")
LOCK = Path(__file__).with_name("jars.lock")
PARALLEL = 4

_COORDINATES = re.compile(
    r"(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.+-]+)(?::(?P<classifier>[\w.-]+))?(?:@(?P<ext>[\w.]+))?"
)


@dataclass(frozen=True)
class Jar:
    """One locked file: its group in ``jars.toml``, coordinates, repository path and digest."""

    group: str
    coordinates: str
    path: str
    digest: Digest


def repository_path(coordinates: str) -> str:
    """Path in a Maven repository of ``group:artifact:version[:classifier][@extension]``."""
    match = _COORDINATES.fullmatch(coordinates)
    if match is None:
        raise EngineError(f"'{coordinates}' are not coordinates", "write group:artifact:version in jars.toml")
    group, artifact, version, classifier, extension = match.groups()
    name = "-".join(filter(None, (artifact, version, classifier)))
    return f"{group.replace('.', '/')}/{artifact}/{version}/{name}.{extension or 'jar'}"


def wanted(path: Path = WANTED) -> dict[str, list[str]]:
    """Coordinates by group, as ``jars.toml`` asks for them."""
    groups: dict[str, list[str]] = _read(path)["groups"]
    return groups


def locked(path: Path = LOCK) -> list[Jar]:
    """Every jar of the lock file."""
    return [
        Jar(entry["group"], entry["coordinates"], entry["path"], Digest(entry["sha256"], entry["size"]))
        for entry in _read(path).get("jar", [])
    ]


def select(names: Iterable[str], wanted_path: Path = WANTED, lock_path: Path = LOCK) -> list[Jar]:
    """Locked jars of the named groups, in their order.

    Raises:
        EngineError: unknown group, or ``jars.toml`` and ``jars.lock`` disagree.
    """
    groups, pins = wanted(wanted_path), {(jar.group, jar.coordinates): jar for jar in locked(lock_path)}
    chosen: list[Jar] = []
    for name in names:
        if name not in groups:
            raise EngineError(f"jars.toml has no group '{name}'", f"use one of {', '.join(sorted(groups))}")
        for coordinates in groups[name]:
            if (name, coordinates) not in pins:
                raise EngineError(f"{coordinates} is in jars.toml but not in jars.lock", "run `c360 jars lock`")
            chosen.append(pins[name, coordinates])
    return chosen


def paths(names: Iterable[str], settings: Settings) -> list[Path]:
    """Where the jars of the named groups lie once fetched; fetches nothing."""
    return [settings.jar_cache / jar.path for jar in select(names)]


def class_path(entries: Iterable[Path | str]) -> str:
    """One Java class path of all entries; EngineError where a folder's name would cut it in two."""
    listed = [str(entry) for entry in entries]
    if any(os.pathsep in entry for entry in listed):
        raise EngineError(f"A class path cannot hold a folder with '{os.pathsep}' in its name", "change C360_JAR_CACHE")
    return os.pathsep.join(listed)


def fetch(
    names: Iterable[str],
    settings: Settings,
    *,
    quiet: bool = False,
    wanted_path: Path = WANTED,
    lock_path: Path = LOCK,
) -> list[Path]:
    """Make sure the jars of the named groups are in the cache, byte for byte as locked; returns their paths.

    Every jar is hashed on each call, so a damaged cache is noticed before an engine loads it.

    Raises:
        EngineError: unknown group, stale lock, no network, not found, wrong hash, or an unwritable cache.
    """
    jars = select(names, wanted_path, lock_path)
    with ThreadPoolExecutor(PARALLEL) as pool:
        intact = list(pool.map(lambda jar: _intact(settings.jar_cache / jar.path, jar.digest), jars))
    missing = [jar for jar, whole in zip(jars, intact, strict=True) if not whole]
    if missing:
        pins = {jar.path: jar.digest for jar in missing}
        _download(pins, settings, quiet=quiet)
    return [settings.jar_cache / jar.path for jar in jars]


def lock(settings: Settings, *, quiet: bool = False, wanted_path: Path = WANTED, lock_path: Path = LOCK) -> list[Jar]:
    """Download everything ``jars.toml`` names, check it against the repository's checksums, and rewrite ``jars.lock``.

    Raises:
        EngineError: bad coordinates, no network, not found, or a checksum that differs.
    """
    groups = wanted(wanted_path)
    digests = _download(
        {repository_path(coordinates): None for group in groups.values() for coordinates in group},
        settings,
        quiet=quiet,
    )
    jars = [
        Jar(name, coordinates, path := repository_path(coordinates), digests[path])
        for name, group in groups.items()
        for coordinates in group
    ]
    lines = ["# Written by `c360 jars lock` from jars.toml. Paths are relative to any Maven repository.", ""]
    for jar in jars:
        lines += [
            "[[jar]]",
            f'group = "{jar.group}"',
            f'coordinates = "{jar.coordinates}"',
            f'path = "{jar.path}"',
            f'sha256 = "{jar.digest.sha256}"',
            f"size = {jar.digest.size}",
            "",
        ]
    lock_path.write_text("\n".join(lines), encoding="utf-8")
    return jars


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise EngineError(f"{path.name} cannot be read ({error})", "restore it, or run `c360 jars lock`") from error


def _intact(path: Path, expected: Digest) -> bool:
    try:
        return path.stat().st_size == expected.size and digest(path) == expected
    except OSError:
        return False


def _download(pins: Mapping[str, Digest | None], settings: Settings, *, quiet: bool) -> dict[str, Digest]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    base = (settings.maven_mirror or MAVEN_CENTRAL).rstrip("/")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        client() as http,
        Progress(*columns, console=Console(stderr=True), disable=quiet) as progress,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):

        def one(path: str, pin: Digest | None) -> Digest:
            task = progress.add_task(path.rpartition("/")[2], total=pin.size if pin else None)
            target = settings.jar_cache / path
            received = download(http, f"{base}/{path}", target, pin, lambda done: progress.update(task, completed=done))
            progress.update(task, total=received.size, completed=received.size)
            if pin is None:
                _check_published(http, f"{base}/{path}", target)
            return received

        futures = {path: pool.submit(one, path, pin) for path, pin in pins.items()}
        try:
            return {path: future.result() for path, future in futures.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_published(http: httpx.Client, url: str, target: Path) -> None:
    import hashlib

    try:
        response = http.get(f"{url}.sha1")
    except httpx.HTTPError as error:
        raise EngineError(f"{url}.sha1 cannot be read ({error})", "check the network, then lock again") from error
    if response.status_code != httpx.codes.OK:
        return  # not every mirror keeps checksums; the lock itself pins the bytes from here on
    with target.open("rb") as stream:
        actual = hashlib.file_digest(stream, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    if response.text.split()[:1] != [actual]:
        target.unlink()
        raise EngineError(f"{url} does not match its published checksum; it was deleted", "lock again from a mirror")
