"""Bytes of a foreign file as clean UTF-8, in bounded memory, with the line of whatever is wrong with them."""

from __future__ import annotations

import codecs
import gzip
import io
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from c360.errors import LandingError
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from pathlib import Path

COMPRESSED: dict[str, Literal["gzip", "bz2", "zstd"]] = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
LIKELY = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "iso8859_2", "iso8859_5", "iso8859_15", "koi8_r",
          "mac_roman", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")  # fmt: skip
TELLING = 12
"""So many bytes beyond ASCII let a guess be more than the commonest encoding."""
END = "\x1ec360-end-of-file\x1e"


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, decompressed if its name ends in .gz, .bz2 or .zst. Raises :class:`LandingError`."""
    import pyarrow as pa

    try:
        if path.is_dir():
            raise LandingError(f"{path} is a folder", "name one file")
        if path.stat().st_size == 0:
            raise LandingError(f"{path} is empty", "export it again; there is nothing to land")
        if path.suffix == ".gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        if path.suffix in COMPRESSED:
            return cast("BinaryIO", pa.CompressedInputStream(path.open("rb"), COMPRESSED[path.suffix]))
        return path.open("rb")
    except FileNotFoundError as error:
        raise LandingError(f"There is no file {path}", "check the path") from error
    except OSError as error:
        raise LandingError(f"{path} cannot be read: {error.strerror or error}", "check its permissions") from error


def plain_name(path: Path) -> Path:
    """The path without a compression suffix, whose own suffix names the format."""
    return path.with_suffix("") if path.suffix in COMPRESSED else path


def codec_name(encoding: str) -> str:
    """The Python codec of an encoding's name; :class:`MappingError` suggests one for an unknown name."""
    import difflib
    from encodings.aliases import aliases

    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        known = {a.replace("_", "-") for a in (*aliases, *aliases.values())}
        close = difflib.get_close_matches(encoding.lower().replace("_", "-"), sorted(known), n=1, cutoff=0.5)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise MappingError(
            f"'{encoding}' is no known encoding{hint}", "use utf-8, windows-1252, iso-8859-15, utf-16 or another"
        ) from None
    if not codecs.lookup(encoding)._is_text_encoding:
        raise MappingError(
            f"'{encoding}' is no text encoding", "use utf-8, windows-1252, iso-8859-15, utf-16 or another"
        )
    return "utf-8" if name in ("utf-8", "utf-8-sig", "ascii") else name


def guess_encoding(sample: bytes) -> str:
    """The likely encoding of a text's beginning: UTF-8 if it is, else what its bytes and letters look like."""
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        pass
    else:
        evens, odds = sample[0::2].count(0), sample[1::2].count(0)
        if max(evens, odds) > len(sample) // 5:
            return "utf-16-le" if odds > evens else "utf-16-be"
        return "utf-8"
    from charset_normalizer import from_bytes

    around = _around_high_bytes(sample)
    few = sum(byte > 127 for byte in around) < TELLING
    best = None if few else from_bytes(around, cp_isolation=list(LIKELY)).best()
    encoding = best.encoding if best else "cp1252"
    if around.decode(encoding, "replace") == around.decode("cp1252", "replace"):
        encoding = "cp1252"  # several fit: the commonest
    name = encoding.replace("_", "-")
    return {"cp1250": "windows-1250", "cp1252": "windows-1252", "cp1251": "windows-1251"}.get(name, name)


class Utf8Stream(io.RawIOBase):
    """The file as UTF-8 without byte order mark, followed by ``tail``; strict about every byte.

    Raises :class:`LandingError` with the line of the first byte that the encoding does not have.
    """

    def __init__(self, path: Path, encoding: str, tail: str = "") -> None:
        super().__init__()
        self._path, self._encoding = path, codec_name(encoding)
        self._raw = open_bytes(path)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig" if self._encoding == "utf-8" else self._encoding)()
        self._tail, self._ended = tail.encode(), False
        self._rest = b""
        self._lines = 0
        self._last = "\n"

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as there are bytes."""
        while len(self._rest) < len(buffer) and not self._ended:
            self._rest += self._more(max(len(buffer), 1 << 16))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Close the file too."""
        if not self.closed:
            self._raw.close()
        super().close()

    def _more(self, size: int) -> bytes:
        try:
            chunk = self._raw.read(size)
        except (OSError, EOFError) as error:
            raise LandingError(f"{self._path.name} breaks off: {error}", "fetch the file again") from error
        try:
            text = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from error
        self._lines += text.count("\n")
        if text:
            self._last = text[-1]
        if chunk:
            return text.encode()
        self._ended = True
        line_end = "" if self._last == "\n" or not self._tail else "\n"
        return text.encode() + line_end.encode() + self._tail

    def _undecodable(self, error: UnicodeDecodeError) -> LandingError:
        line = self._lines + error.object[: error.start].count(b"\n") + 1
        near = error.object[max(0, error.start - 200_000) : error.start + 200_000]
        guess = guess_encoding(near)
        mend = (
            f"write `encoding: {guess}` under `source:` if it looks right"
            if guess not in ("utf-8", self._encoding)
            else "export it again; it is damaged there"
        )
        return LandingError(f"{self._path.name} line {line} has a byte that is not {self._encoding}", mend)


def text_lines(path: Path, encoding: str) -> io.TextIOWrapper:
    """The file as a text stream whose line ends are kept as they are, for :mod:`csv`."""
    return io.TextIOWrapper(io.BufferedReader(Utf8Stream(path, encoding)), "utf-8", newline="")


def _around_high_bytes(sample: bytes) -> bytes:
    """The lines that are not ASCII: a guess must not drown in those that say nothing about the encoding."""
    lines = [line for line in sample.splitlines() if not line.isascii()]
    return b"\n".join(lines[:500]) or sample
