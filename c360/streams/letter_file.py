"""Letters in a file that a person can mend: one JSON object in a line, with position, reason and event.

``{"letter": {"topic": …, "partition": …, "offset": …}, "reason": …, "field": …, "event": {…}}``. A message that is no
JSON object is there as ``text`` or ``base64``, and the person writes the ``event`` that it should have been.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from c360.contracts.topic import load_topics
from c360.errors import StreamError
from c360.streams.dead_letters import Letter, Position, find
from c360.streams.letter_text import dump, mask, parse, restore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from c360.contracts.topic import TopicContract
    from c360.lakehouse import Lakehouse

_NO_EVENT = "holds no event", 'write the event as a JSON object under "event", or take the line out'


@dataclass(frozen=True)
class Draft:
    """A letter and the event to publish for it: its own, or as it was mended; None if it is no JSON object."""

    letter: Letter
    event: dict[str, Any] | None

    @property
    def mended(self) -> bool:
        """True if the event is not the letter's own."""
        return self.event != self.letter.event


class _Place(Struct, forbid_unknown_fields=True):
    topic: str
    partition: int
    offset: int


class _Line(Struct, forbid_unknown_fields=True):
    letter: _Place
    reason: str | None = None
    field: str | None = None
    event: Any = UNSET
    text: str | None = None
    base64: str | None = None
    masked: str | None = None


class _Bad(Exception):
    """What is wrong with a line, and its mend."""


def export(
    letters: Iterable[Letter], path: Path, *, clear: bool = False, topics: Mapping[str, TopicContract] | None = None
) -> int:
    """Write letters to a new file, whole or not at all, that only its owner may read; the number of letters.

    Masked as in :func:`~c360.streams.dead_letters.describe`; a replay puts back what the masks hide. Raises StreamError
    if the file is there already or cannot be written.
    """
    known = load_topics() if topics is None else topics
    if path.exists():
        raise StreamError(f"{path} exists already, perhaps with what somebody has mended", "give another name")
    partial, count = path.with_name(f"{path.name}.part"), 0
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            for letter in letters:
                file.write(dump(_line(letter, known.get(letter.position.topic), clear=clear)) + "\n")
                count += 1
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StreamError(f"{path} cannot be written ({error.strerror})", "choose a folder you may write to") from error
    return count


def _line(letter: Letter, topic: TopicContract | None, *, clear: bool) -> dict[str, Any]:
    at = letter.position
    head = {
        "letter": {"topic": at.topic, "partition": at.partition, "offset": at.offset},
        "reason": letter.reason,
        "field": letter.field_name,
    }
    if letter.event is not None:
        return {**head, "event": letter.event if clear else mask(letter.event, topic)}
    if letter.value is None:
        return {**head, "event": None}
    if not clear:
        return {**head, "event": None, "masked": f"{len(letter.value)} bytes that are no JSON object"}
    try:
        return {**head, "event": None, "text": letter.value.decode()}
    except UnicodeDecodeError:
        return {**head, "event": None, "base64": base64.b64encode(letter.value).decode()}


def read(path: Path, lake: Lakehouse) -> list[Draft]:
    """The letters of a mended file in its order, with what the masks hide put back.

    Raises StreamError naming the first bad line and its mend: no JSON of that form, no event, no such letter, a letter
    that was there before, or a mask that hides nothing.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StreamError(f"{path} cannot be read ({reason})", "give a file that `c360 dlq export` wrote") from error
    lines: dict[int, tuple[Position, dict[str, Any]]] = {}
    bad: dict[int, _Bad] = {}
    seen: dict[Position, int] = {}
    # Not splitlines(): a text may hold characters that end a line elsewhere.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                lines[number] = position, _ = _read(line)
                if seen.setdefault(position, number) != number:
                    raise _Bad(f"letter {position} is in line {seen[position]} too", "take one of the two out")
            except _Bad as error:
                bad[number] = error
    letters = find(lake, seen)
    drafts = []
    for number, (position, event) in lines.items():
        try:
            drafts.append(_draft(letters.get(position), position, event))
        except _Bad as error:
            bad.setdefault(number, error)
    if bad:
        first = min(bad)
        problem, mend = bad[first].args
        more = f" ({len(bad) - 1} more lines are bad)" if len(bad) > 1 else ""
        raise StreamError(f"{path} line {first}: {problem}{more}; nothing was sent", mend)
    return drafts


def _read(line: str) -> tuple[Position, dict[str, Any]]:
    document = parse(line)
    if document is None:
        raise _Bad("no JSON object", "correct its quotes, commas and brackets; one object is one line")
    try:
        found = msgspec.convert(document, _Line)
    except msgspec.ValidationError as error:
        raise _Bad(str(error), "keep the form of the export, and change only the event") from None
    if not isinstance(found.event, dict):
        raise _Bad(*_NO_EVENT)
    return Position(found.letter.topic, found.letter.partition, found.letter.offset), found.event


def _draft(letter: Letter | None, position: Position, event: dict[str, Any]) -> Draft:
    if letter is None:
        raise _Bad(f"there is no dead letter {position}", "correct its position, or take the line out")
    try:
        return Draft(letter, restore(event, letter.event))
    except KeyError as error:
        problem = f"{error.args[0]} hides nothing in letter {position}"
        raise _Bad(problem, "write the value itself, or export the letter again") from None
