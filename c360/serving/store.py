"""The folder of indexes: one for each release, and which of them is served.

``<home>/serving/<release>/`` holds an index, ``<home>/serving/current`` the name of the one that is served. A reader
sees the old or the new name; an index is complete before its name is there, and stays as it is until it is removed.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from c360.serving.build import Manifest, build
from c360.serving.index import DamagedIndexError, Index

if TYPE_CHECKING:
    from pathlib import Path

    from c360.lakehouse import Lakehouse
    from c360.serving.release import Release

CURRENT = "current"


class Store:
    """Indexes under ``folder``. One process builds at a time (the asset's concurrency sees to it); any number read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def current(self) -> str | None:
        """The release that is served; None before the first."""
        try:
            return (self.folder / CURRENT).read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def manifests(self) -> list[Manifest]:
        """Of all whole indexes, newest release first; a folder without a readable manifest is passed over."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.is_dir() and path.name.isdigit():
                try:
                    found.append(Manifest.read(path))
                except (OSError, ValueError):
                    continue
        return sorted(found, key=lambda each: each.published_at, reverse=True)

    def open(self, release: str) -> Index:
        """Raises DamagedIndexError."""
        return Index.open(self.folder / release)

    def build(self, lake: Lakehouse, release: Release, key: bytes, *, full: bool = False) -> Manifest:
        """The index of ``release``: built beside the others, put in place whole and verified, but not yet served."""
        name = str(release.id)
        done = self.folder / name
        if done.exists():
            try:
                with_index = self.open(name)
            except DamagedIndexError:
                shutil.rmtree(done)
            else:
                with_index.close()
                return with_index.manifest
        earlier = None if full or self.current is None else self.folder / self.current
        partial = self.folder / f".{name}.{os.getpid()}"
        self._sweep()
        try:
            manifest = build(lake, release, partial, key, earlier)
            _sync(partial)
            partial.rename(done)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self.open(name).close()
        return manifest

    def serve(self, release: str) -> None:
        """Make a release the served one, in one step."""
        pointer = self.folder / f".{CURRENT}.{os.getpid()}"
        pointer.write_text(release, encoding="ascii")
        with pointer.open("rb") as file:
            os.fsync(file.fileno())
        pointer.replace(self.folder / CURRENT)

    def prune(self, keep: int) -> list[str]:
        """Remove all but the ``keep`` newest indexes and the served one; the names of those removed."""
        served = self.current
        old = [each.release for each in self.manifests()[keep:] if each.release != served]
        for name in old:
            shutil.rmtree(self.folder / name)
        return old

    def _sweep(self) -> None:
        """What a killed build has left."""
        for path in self.folder.glob(".[0-9]*.[0-9]*"):
            shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
