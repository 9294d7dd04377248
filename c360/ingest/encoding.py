"""UTF-8 or not: one bad byte refuses one record, never the file, and never vanishes."""

from __future__ import annotations

import re

import pyarrow as pa

from c360.errors import LandingError

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"
_SURROGATES = re.compile("[\udc80-\udcff]")
# Blocks of 256 private-use characters; the first one that the data does not use stands for bad bytes.
_MARK_BLOCKS = range(0x10_0000, 0x10_FF00, 0x100)


def without_mark(data: bytes, where: str) -> bytes:
    """The bytes without a UTF-8 byte order mark. Raises LandingError for an empty file and for UTF-16 or UTF-32."""
    if not data:
        raise LandingError(
            f"{where} is empty (0 bytes)", "land the complete file again, or no file on a day without records"
        )
    first_line = data[:4096].split(b"\n", 1)[0]
    if data.startswith(_UTF16_MARKS) or first_line.count(b"\x00") > len(first_line) // 4:
        raise LandingError(
            f"{where} is encoded in UTF-16 or UTF-32, not UTF-8",
            f"convert it, for example with `iconv -f UTF-16 -t UTF-8 {where.rsplit('/', 1)[-1]}`, and land the result",
        )
    return data.removeprefix(_UTF8_MARK)


def is_utf8(data: bytes) -> bool:
    """Whether all bytes are valid UTF-8, checked without decoding them into a second copy."""
    if data.isascii():
        return True
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


class BadBytes:
    """Data whose bad bytes are replaced by marks: private-use characters that the data does not use itself."""

    def __init__(self, data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        self._base = next(base for base in _MARK_BLOCKS if not _in_use(base, data))
        self.data = _SURROGATES.sub(lambda m: chr(self._base + ord(m[0]) - 0xDC00), text).encode()
        self.pattern = f"[{chr(self._base + 0x80)}-{chr(self._base + 0xFF)}]"
        self._marks = re.compile(self.pattern)

    def in_text(self, text: str) -> bool:
        """Whether the text holds a mark."""
        return self._marks.search(text) is not None

    def escape(self, text: str) -> str:
        r"""The text with every bad byte as ``\xNN`` and every backslash doubled, so that nothing is ambiguous."""
        if not self.in_text(text):
            return text
        doubled = text.replace("\\", "\\\\")
        return self._marks.sub(lambda m: f"\\x{ord(m[0]) - self._base:02x}", doubled)


def _in_use(base: int, data: bytes) -> bool:
    """Whether the data holds a character like the marks of this block: 64 characters share their first three bytes."""
    return any(chr(base + first).encode()[:3] in data for first in (0x80, 0xC0))


def escape(data: bytes) -> str:
    r"""Bytes as text: as they are if UTF-8, else bad bytes as ``\xNN`` and backslashes doubled."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
