"""What is in a letter: read exactly, shown to people, with what identifies a person masked and brought back.

Only what the topic's contract knows and does not classify ``direct`` is shown. A mask carries the path of what it
hides, so that the value finds its way back from the letter, also to another field.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from c360.contracts.topic import MAP
from c360.events.crypto import is_sealed
from c360.events.errors import DecryptionFailed, EncryptionKeyMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from c360.contracts.model import Column
    from c360.contracts.topic import TopicContract
    from c360.events.crypto import KeyRing

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_MASK = re.compile(r"<masked (.+)>", re.DOTALL)

Path = tuple[str, ...]


def parse(value: bytes | str | None) -> dict[str, Any] | None:
    """The JSON object in a message, with numbers as exact as they are written; None if it is no such object."""
    try:
        text = value if isinstance(value, str) else (value or b"").decode()
        found = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
        # What cannot be written again, such as half of a character, cannot be mended as JSON.
        _ENCODER.encode(found)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def dump(document: object) -> str:
    """JSON in one line; numbers as they were read."""
    return _ENCODER.encode(document).decode()


def pretty(document: object) -> str:
    """JSON for people."""
    return msgspec.json.format(_ENCODER.encode(document), indent=2).decode()


def readable(value: bytes | None, topic: TopicContract | None, *, clear: bool) -> dict[str, Any]:
    """A message as ``event`` (JSON), else ``text``, else ``hex``; masked unless ``clear``. A tombstone has none."""
    event = parse(value)
    if value is None:
        return {"event": None}
    if event is not None:
        return {"event": event if clear else mask(event, topic)}
    if not clear:
        # Nobody can tell what in it identifies a person.
        return {"masked": f"{len(value)} bytes that are no JSON object"}
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"hex": value.hex(" ")}


def mask(event: Mapping[str, Any], topic: TopicContract | None) -> dict[str, Any]:
    """The event with each value masked that is classified ``direct`` or that the contract does not know."""
    fields = {tuple(field.name.split(".")): field for field in (topic.fields if topic else ())}
    parents = {path[:i] for path in fields for i in range(len(path))}
    masked: dict[str, Any] = _mask(event, (), fields, parents | {()})
    return masked


def _mask(value: Any, path: Path, fields: Mapping[Path, Column], parents: set[Path]) -> Any:
    if isinstance(value, dict) and path in parents:
        return {name: _mask(inner, (*path, name), fields, parents) for name, inner in value.items()}
    field = fields.get(path)
    if value is None or (field is not None and field.classification != "direct" and _fits(value, field)):
        return value
    return f"<masked {'.'.join(part.replace('~', '~0').replace('.', '~1') for part in path)}>"


def _fits(value: Any, field: Column) -> bool:
    """False for a value of another shape than the field's, which may hold anything."""
    inner = value.values() if field.type == MAP and isinstance(value, dict) else (value,)
    return not any(isinstance(item, dict | list) for item in inner)


def restore(event: Any, original: Mapping[str, Any] | None) -> Any:
    """The event with masks replaced by what they hide in the original; KeyError with the mask that hides nothing."""
    if isinstance(event, dict):
        return {name: restore(value, original) for name, value in event.items()}
    if isinstance(event, list):
        return [restore(value, original) for value in event]
    found = _MASK.fullmatch(event) if isinstance(event, str) else None
    if found is None:
        return event
    here: Any = original
    for part in found[1].split("."):
        name = part.replace("~1", ".").replace("~0", "~")
        if not isinstance(here, dict) or name not in here:
            raise KeyError(event)
        here = here[name]
    return here


def unseal(event: dict[str, Any], topic: TopicContract, ids: Sequence[str], keys: KeyRing | None) -> dict[str, Any]:
    """The event with encrypted fields opened, for a producer to seal them anew under its id.

    ``ids`` are the events that a text may have been sealed for. Clear text stays. Raises EncryptionKeyMissing or
    DecryptionFailed.
    """
    for name in topic.encrypted:
        *parents, leaf = name.split(".")
        holder: Any = event
        for parent in parents:
            holder = holder.get(parent) if isinstance(holder, dict) else None
        text = holder.get(leaf) if isinstance(holder, dict) else None
        if isinstance(text, str) and is_sealed(text):
            if keys is None:
                raise EncryptionKeyMissing(f"{name} is encrypted and there is no key", "set C360_EVENT_KEYS")
            holder[leaf] = _open(text, topic.name, name, ids, keys)
    return event


def _open(text: str, topic: str, name: str, ids: Sequence[str], keys: KeyRing) -> str:
    failure = DecryptionFailed(
        f"{name} is encrypted for an event that is not known", "fetch the event from its source again, or leave it out"
    )
    for event_id in ids:
        try:
            return keys.open(text, topic, name, event_id)
        except DecryptionFailed as error:
            failure = error
    raise failure


def _refuse(word: str) -> None:
    raise ValueError(word)
