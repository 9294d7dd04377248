"""Defects of the light path: what capture does to messages on a bad day. None of it changes what is true of the shop.

Messages come again, rows are read again as after a lost slot (op ``r``), neighbours change places, also those of one
row, and messages that no reader can use stand between them.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Message = tuple[str, bytes, bytes | None]

REPEATED, READ_AGAIN, BROKEN = 0.03, 0.02, 0.004
"""Shares of the messages that come again, whose row is read again, and beside which a broken one stands."""

NEIGHBOURHOOD = 40
"""Messages within which neighbours change places."""


class Spoiler:
    """Spoils a play, batch after batch; the same seed spoils the same. ``counts`` says how much of what there was."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()

    def spoil(self, batch: Sequence[Message]) -> list[Message]:
        """The messages of a batch with their defects; each is still among them."""
        found: list[Message] = []
        for start in range(0, len(batch), NEIGHBOURHOOD):
            near = list(batch[start : start + NEIGHBOURHOOD])
            for message in batch[start : start + NEIGHBOURHOOD]:
                near += self._beside(message)
            self._random.shuffle(near)
            found += near
        return found

    def _beside(self, message: Message) -> list[Message]:
        more: list[Message] = []
        if self._random.random() < REPEATED:
            self.counts["repeated"] += 1
            more.append(message)
        topic, key, value = message
        if value is None:
            return more
        if self._random.random() < READ_AGAIN and orjson.loads(value)["op"] != "d":
            self.counts["read_again"] += 1
            more.append((topic, key, _read_again(value)))
        if self._random.random() < BROKEN:
            name, damage = self._random.choice(DAMAGES)
            if (broken := damage(value)) is not None:
                self.counts[name] += 1
                more.append((topic, key, broken))
        return more


def _read_again(value: bytes) -> bytes:
    envelope = orjson.loads(value)
    source = {**envelope["source"], "snapshot": "true"}
    return orjson.dumps({**envelope, "op": "r", "before": None, "source": source})


def _after(**fields: Any) -> Callable[[bytes], bytes | None]:
    """With these fields in the row, where the row has all of them."""

    def change(value: bytes) -> bytes | None:
        envelope = orjson.loads(value)
        after = envelope["after"]
        if after is None or not fields.keys() <= after.keys():
            return None
        return orjson.dumps({**envelope, "after": {**after, **fields}})

    return change


def _far_ahead(value: bytes) -> bytes | None:
    """Placed two years after it was committed, as a clock would say that is wrong."""
    envelope = orjson.loads(value)
    after = envelope["after"]
    if after is None or "ordered_at" not in after:
        return None
    moment = after["ordered_at"]
    return orjson.dumps({**envelope, "after": {**after, "ordered_at": f"{int(moment[:4]) + 2}{moment[4:]}"}})


DAMAGES: tuple[tuple[str, Callable[[bytes], bytes | None]], ...] = (
    ("cut_off", lambda value: value[: len(value) // 2]),
    ("no_json", lambda _: b"\x00\xff\xfe not JSON"),
    ("empty", lambda _: b""),
    ("a_list", lambda value: b"[" + value + b"]"),
    ("two_documents", lambda value: value + value),
    ("unknown_op", lambda value: orjson.dumps({**orjson.loads(value), "op": "x"})),
    ("no_op", lambda value: orjson.dumps({k: v for k, v in orjson.loads(value).items() if k != "op"})),
    ("no_customer", _after(customer_id=None, ordered_at=None)),
    ("amount_of_text", _after(total_amount="a lot")),
    ("amount_too_fine", _after(total_amount={"scale": 4, "value": "AAE="})),
    ("quantity_of_text", _after(quantity="two")),
    ("moment_of_words", _after(updated_at="yesterday")),
    ("ahead_of_the_clock", _far_ahead),
)
"""What is done to a message; None where its table cannot have it."""
