"""Locked archives, unpacked: an application that comes as one ``.tar.gz`` becomes a folder of the cache.

The archive is verified against ``jars.lock`` first. The folder appears under its final name only when it is whole, is
named by the archive's hash, and is compared with its list of files on each use, as jars are.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from filelock import FileLock

from c360.engines import jars
from c360.engines.download import digest
from c360.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from c360.settings import Settings

SUFFIX = ".tar.gz"
LIST = ".files.json"


def folder(group: str, settings: Settings) -> Path:
    """Where the archive of a group with exactly one archive lies once it is unpacked; fetches nothing.

    Raises:
        EngineError: unknown group, stale lock, or the group is not one archive.
    """
    return _folder(_archive(group, jars.WANTED, jars.LOCK), settings)


def unpack(
    group: str,
    settings: Settings,
    *,
    quiet: bool = False,
    wanted_path: Path = jars.WANTED,
    lock_path: Path = jars.LOCK,
) -> Path:
    """Fetch and verify the archive of a group, unpack it into the cache, and return its folder.

    A folder that is whole is left as it is, and then the archive is not needed; one that is not is replaced.

    Raises:
        EngineError: as ``jars.fetch``; the archive cannot be unpacked, or holds paths outside of its folder.
    """
    archive = _archive(group, wanted_path, lock_path)
    target = _folder(archive, settings)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not _whole(target):
                (packed,) = jars.fetch([group], settings, quiet=quiet, wanted_path=wanted_path, lock_path=lock_path)
                _replace(packed, target)
    except OSError as error:
        raise EngineError(
            f"{target} cannot be written ({error.strerror or error})",
            "free some space, or set C360_JAR_CACHE to a folder that this user may write",
        ) from error
    return target


def _archive(group: str, wanted_path: Path, lock_path: Path) -> jars.Jar:
    found = jars.select([group], wanted_path, lock_path)
    if len(found) != 1 or not found[0].path.endswith(SUFFIX):
        raise EngineError(f"Group '{group}' of jars.toml is not one {SUFFIX} archive", "correct jars.toml")
    return found[0]


def _folder(archive: jars.Jar, settings: Settings) -> Path:
    stem = settings.jar_cache / archive.path.removesuffix(SUFFIX)
    return stem.with_name(f"{stem.name}-{archive.digest.sha256[:12]}")


def _replace(packed: Path, target: Path) -> None:
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with tarfile.open(packed, "r:gz") as archive:
            _refuse_outside(archive)
            archive.extractall(partial)  # noqa: S202  (each member was looked at)
        (partial / LIST).write_text(json.dumps(_files(partial)), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise EngineError(
            f"{packed} cannot be unpacked ({error})", "correct jars.toml; it names a bad archive"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse_outside(archive: tarfile.TarFile) -> None:
    # Python's own filters came with 3.11.4; this refuses the same and works before.
    for member in archive.getmembers():
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise tarfile.ExtractError(f"{member.name} would lie outside of the folder, or is no plain file")


def _files(root: Path) -> dict[str, str]:
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.name != LIST)
    return {path.relative_to(root).as_posix(): digest(path).sha256 for path in found}


def _whole(target: Path) -> bool:
    try:
        return bool(json.loads((target / LIST).read_text(encoding="utf-8")) == _files(target))
    except (OSError, ValueError):
        return False
