"""An archive becomes a folder of the cache: whole and verified, once, or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from c360.engines import archives
from c360.errors import EngineError
from c360.settings import Settings
from tests.unit.engines.mirror import Mirror, body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "org/example/app/1.0/app-1.0-all.tar.gz"
FILES = {"run.jar": b"launcher", "lib/main/a.jar": os.urandom(100_000), "empty": b""}


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Repo:
    """``jars.toml`` and ``jars.lock`` of one archive, and a cache of the test's own."""

    def __init__(self, folder: Path, mirror: Mirror, data: bytes) -> None:
        self.wanted, self.lock = folder / "jars.toml", folder / "jars.lock"
        self.wanted.write_text('[groups]\napp = ["org.example:app:1.0:all@tar.gz"]\n')
        self.lock.write_text(
            f'[[jar]]\ngroup = "app"\ncoordinates = "org.example:app:1.0:all@tar.gz"\npath = "{PATH}"\n'
            f'sha256 = "{hashlib.sha256(data).hexdigest()}"\nsize = {len(data)}\n'
        )
        self.mirror = mirror
        mirror.answers[PATH] = [body(data)]
        self.settings = Settings(home=folder / "home", jar_cache=folder / "cache", maven_mirror=mirror.url)
        self.packed = self.settings.jar_cache / PATH

    def unpack(self) -> Path:
        return archives.unpack("app", self.settings, quiet=True, wanted_path=self.wanted, lock_path=self.lock)

    def folders(self) -> list[str]:
        return [path.name for path in self.packed.parent.iterdir() if path.is_dir()]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    yield mirror
    mirror.close()


@pytest.fixture
def repo(tmp_path: Path, mirror: Mirror) -> Repo:
    return Repo(tmp_path, mirror, packed(FILES))


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != archives.LIST]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_unpacked_once_and_whole(repo: Repo) -> None:
    folder = repo.unpack()
    assert content(folder) == FILES
    made = (folder / "run.jar").stat().st_ino
    repo.packed.unlink()  # a whole folder needs its archive no more
    assert repo.unpack() == folder
    assert (folder / "run.jar").stat().st_ino == made
    assert repo.mirror.requests == {PATH: 1}
    assert repo.folders() == [folder.name]


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "unlisted"])
def test_damaged_folder_is_replaced(repo: Repo, damage: str) -> None:
    folder = repo.unpack()
    if damage == "changed":
        (folder / "run.jar").write_bytes(b"launchex")
    elif damage == "missing":
        (folder / "lib/main/a.jar").unlink()
    elif damage == "added":
        (folder / "lib/main/b.jar").write_bytes(b"stranger")
    else:
        (folder / archives.LIST).write_text("{")
    assert content(repo.unpack()) == FILES
    assert repo.mirror.requests == {PATH: 1}


def test_what_a_killed_command_left_is_not_used(repo: Repo) -> None:
    target = repo.unpack()
    target.rename(target.with_name(f"{target.name}.123.part"))
    (target.with_name(f"{target.name}.123.part") / "run.jar").unlink()
    assert content(repo.unpack()) == FILES


@pytest.mark.parametrize("name", ["../outside", "lib/../../outside"])
def test_archive_that_reaches_outside_is_refused(tmp_path: Path, mirror: Mirror, name: str) -> None:
    repo = Repo(tmp_path, mirror, packed({"run.jar": b"x", name: b"evil"}))
    with pytest.raises(EngineError, match=r"cannot be unpacked"):
        repo.unpack()
    assert repo.folders() == []
    assert not list(tmp_path.rglob("*outside"))


@pytest.mark.parametrize("data", [b"no archive at all", packed(FILES)[:-2000]], ids=["other format", "cut short"])
def test_broken_archive_is_refused(tmp_path: Path, mirror: Mirror, data: bytes) -> None:
    repo = Repo(tmp_path, mirror, data)
    with pytest.raises(EngineError, match=r"cannot be unpacked.*jars\.toml"):
        repo.unpack()
    assert repo.folders() == []


def test_wrong_hash_is_never_unpacked(repo: Repo) -> None:
    repo.mirror.answers[PATH] = [body(packed({**FILES, "run.jar": b"forged!!"}))]
    repo.lock.write_text(repo.lock.read_text().replace("size = ", "size = 1"))
    with pytest.raises(EngineError, match=r"cannot be downloaded|deleted, not used"):
        repo.unpack()
    assert not repo.packed.exists()
    assert repo.folders() == []


def test_group_that_is_no_archive(repo: Repo) -> None:
    with pytest.raises(EngineError, match=r"'spark' .* is not one \.tar\.gz archive"):
        archives.unpack("spark", repo.settings)


def test_two_at_once_unpack_once(repo: Repo) -> None:
    with ThreadPoolExecutor(2) as pool:
        folders = [future.result() for future in [pool.submit(repo.unpack) for _ in range(2)]]
    assert folders[0] == folders[1]
    assert content(folders[0]) == FILES
    assert repo.folders() == [folders[0].name]
