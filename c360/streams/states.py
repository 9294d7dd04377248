"""The state a stream can resume from: its retained checkpoints and its savepoints, as they lie on disk."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from c360.errors import StreamError
from c360.streams.record import chosen_at, id_prefix

if TYPE_CHECKING:
    from c360.settings import Settings
    from c360.streams.record import Record

MAGIC = 0x4960672D
METADATA = "_metadata"
# Type 2, size, length, path. Small files lie in the metadata itself: type 1, with the path that they might have had.
_SHARED = re.compile(rb"\x02\x00{3}.{7}file:(/[^\x00]*?/shared/[0-9a-f-]{36})", re.DOTALL)


@dataclass(frozen=True)
class State:
    """A usable checkpoint or savepoint; ``job_id`` is None where nothing tells whose it is."""

    path: str
    checkpoint_id: int
    written_at: datetime
    job_id: str | None = None

    @property
    def order(self) -> tuple[datetime, int]:
        """By launch, then by checkpoint: a launch restored from another one comes after all of it."""
        return ((chosen_at(self.job_id) if self.job_id else None) or self.written_at, self.checkpoint_id)


def local_path(address: str) -> Path:
    """``file:/a``, ``file:///a`` and ``/a`` as a path."""
    bare = "/" + address.removeprefix("file:").lstrip("/") if address.startswith("file:") else address
    found = Path(bare)
    return found if found.exists() else Path(unquote(bare)) if Path(unquote(bare)).exists() else found


def read_state(address: str, job_id: str | None = None) -> State:
    """The checkpoint or savepoint at an address.

    Raises:
        StreamError: there is none, its metadata is not whole, or files that it builds on are gone.
    """
    folder = local_path(address)
    metadata = folder / METADATA
    try:
        content = metadata.read_bytes()
        written = metadata.stat().st_mtime
    except OSError as error:
        raise StreamError(
            f"{folder} holds no checkpoint or savepoint ({error.strerror})",
            f"name a folder with a file {METADATA}, such as `c360 streams status` shows",
        ) from error
    if len(content) < 16 or int.from_bytes(content[:4]) != MAGIC:
        raise StreamError(f"{metadata} is not whole", "name an older checkpoint or a savepoint")
    gone = [name for name in set(_SHARED.findall(content)) if not local_path(name.decode(errors="replace")).exists()]
    if gone:
        raise StreamError(f"{folder} builds on {len(gone)} files that are gone", "name a savepoint, or bring them back")
    if job_id is None and folder.name.startswith("chk-"):
        job_id = folder.parent.name
    return State(str(folder), int.from_bytes(content[8:16]), datetime.fromtimestamp(written, tz=UTC), job_id)


def find_states(settings: Settings, record: Record) -> list[State]:
    """Every usable state of the stream, newest first; what a person has chosen to begin without is left out."""
    prefix = id_prefix(record.stream)
    owners = {str(local_path(record.savepoint.path)): record.savepoint.job_id} if record.savepoint else {}
    addresses: dict[str, str | None] = {}
    for launch in record.launches:
        if launch.restored_from:
            addresses.setdefault(str(local_path(launch.restored_from)), None)
    for folder in settings.checkpoint_dir.glob(f"{prefix}*/chk-*"):
        addresses[str(folder)] = folder.parent.name
    for folder in settings.savepoint_dir.glob(f"savepoint-{prefix[:6]}-*"):
        addresses[str(folder)] = None
    addresses |= owners
    found = []
    for address, owner in addresses.items():
        with suppress(StreamError):
            found.append(read_state(address, owner))
    since = chosen_at(record.fresh_since) if record.fresh_since else None
    kept = (state for state in found if since is None or state.order[0] >= since)
    return sorted(kept, key=lambda state: state.order, reverse=True)
