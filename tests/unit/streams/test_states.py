"""A checkpoint is usable only while the files that it builds on are there; small ones lie in its metadata."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from c360.errors import StreamError
from c360.streams.states import read_state

if TYPE_CHECKING:
    from pathlib import Path


def text(value: str) -> bytes:
    """As Java's writeUTF writes it."""
    return len(value.encode()).to_bytes(2) + value.encode()


def of_file(path: Path, size: int = 21_401) -> bytes:
    """Flink's FileStateHandle."""
    return b"\x02" + size.to_bytes(8) + text(f"file:{path}")


def in_metadata(path: Path) -> bytes:
    """Flink's ByteStreamStateHandle, named as the file that it might have been."""
    return b"\x01" + text(f"file:{path}") + (5).to_bytes(4) + b"small"


def test_missing_files_make_a_checkpoint_unusable(tmp_path: Path) -> None:
    job = tmp_path / "a hömé" / uuid.uuid4().hex
    chosen, shared = job / "chk-7", job / "shared"
    chosen.mkdir(parents=True)
    shared.mkdir()
    files = [shared / str(uuid.uuid4()) for _ in range(3)]
    for file in files[:2]:
        file.write_bytes(b"sst")
    head = (0x4960672D).to_bytes(4) + (5).to_bytes(4) + (7).to_bytes(8)
    (chosen / "_metadata").write_bytes(head + b"".join(map(of_file, files[:2])) + in_metadata(files[2]))
    assert (read_state(f"file:{chosen}").checkpoint_id, read_state(str(chosen)).job_id) == (7, job.name)
    files[0].unlink()
    with pytest.raises(StreamError, match="builds on 1 files that are gone"):
        read_state(str(chosen))
    (chosen / "_metadata").write_bytes(head[:9])
    with pytest.raises(StreamError, match="not whole"):
        read_state(str(chosen))
