"""Dead letters: the messages that the streams refused, as a person looks for them and looks at them.

A letter is named by its position (topic, partition, offset). :mod:`c360.streams.letter_file` takes letters out to be
mended, and :mod:`c360.streams.replay` publishes them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from c360.cdc.connector import topic as changes_of
from c360.cdc.schema import NAMES
from c360.contracts.loader import STREAMS
from c360.contracts.standard import parse_contract
from c360.contracts.topic import load_topics
from c360.errors import StreamError
from c360.streams.job import REFUSED
from c360.streams.letter_text import parse, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import polars as pl

    from c360.contracts.topic import TopicContract
    from c360.lakehouse import Lakehouse

REPLAYED = "silver.replayed_letters"
PLACE = ("source_topic", "kafka_partition", "kafka_offset")
_COLUMNS = (*PLACE, "kafka_timestamp", "key", "value", "reason", "field_name", "event_id", "contract_version")


@dataclass(frozen=True, order=True)
class Position:
    """Where a letter was in Kafka; written ``raw-events/0/12``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position in a text; StreamError if it is none."""
        topic, *rest = text.rsplit("/", 2)
        if not topic or len(rest) != len(PLACE) - 1 or not all(part.isascii() and part.isdigit() for part in rest):
            raise StreamError(f"'{text}' is no position of a letter", "write it as raw-events/0/12")
        return cls(topic, int(rest[0]), int(rest[1]))


@dataclass(frozen=True)
class Letter:
    """One refused message, byte for byte; ``arrived`` is when it reached its topic, in UTC."""

    position: Position
    arrived: datetime
    key: bytes | None
    value: bytes | None
    reason: str
    field_name: str | None
    event_id: str | None
    contract_version: str

    @cached_property
    def event(self) -> dict[str, Any] | None:
        """The JSON object that the message is; None if it is none."""
        return parse(self.value)


@dataclass(frozen=True)
class Selection:
    """Which letters: all conditions together. They arrived from ``since`` on and before ``until``."""

    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(
        cls, topic: str | None = None, reason: str | None = None, since: str | None = None, until: str | None = None
    ) -> Selection:
        """From what a person wrote; empty texts do not count. StreamError for an unknown word or a wrong moment."""
        events = [name for name, contract in load_topics().items() if contract.format == "json"]
        topics = [*events, *(changes_of(table) for table in NAMES)]
        for text, known, kind in ((topic, topics, "topic"), (reason, list(reasons()), "reason")):
            if text and text not in known:
                raise StreamError(f"There is no {kind} '{text}'", f"use one of {', '.join(known)}")
        return cls(topic or None, reason or None, _moment(since), _moment(until))

    def __bool__(self) -> bool:
        return any(part is not None for part in (self.topic, self.reason, self.since, self.until))

    @property
    def where(self) -> str | None:
        """The same for a scan of the table; None for all letters."""
        parts = (
            (self.topic, "source_topic = '{}'"),
            (self.reason, "reason = '{}'"),
            (self.since and self.since.isoformat(), "kafka_timestamp >= '{}'"),
            (self.until and self.until.isoformat(), "kafka_timestamp < '{}'"),
        )
        return " and ".join(text.format(value) for value, text in parts if value is not None) or None


def counts(lake: Lakehouse, selection: Selection) -> list[dict[str, Any]]:
    """Letters by topic, reason and field: ``letters``, ``replayed`` of them, ``first`` and ``last`` arrival (UTC)."""
    import polars as pl

    if not lake.exists(REFUSED):
        return []
    columns = [*PLACE, "kafka_timestamp", "reason", "field_name"]
    found = pl.DataFrame(pl.from_arrow(lake.read(REFUSED, columns, selection.where)))
    done = replayed(lake).with_columns(pl.lit(1).alias("replayed"))
    return (
        found.join(done, on=PLACE, how="left")
        .group_by(pl.col("source_topic").alias("topic"), "reason", pl.col("field_name").alias("field"))
        .agg(
            pl.len().alias("letters"),
            pl.col("replayed").sum(),
            pl.col("kafka_timestamp").min().alias("first"),
            pl.col("kafka_timestamp").max().alias("last"),
        )
        .sort("letters", "topic", "reason", "field", descending=[True, False, False, False])
        .to_dicts()
    )


def select(lake: Lakehouse, selection: Selection) -> list[Letter]:
    """The chosen letters by position."""
    return sorted(_letters(lake, selection.where), key=lambda letter: letter.position)


def find(lake: Lakehouse, positions: Iterable[Position]) -> dict[Position, Letter]:
    """The letters at these positions; those that are no letters are left out."""
    wanted = set(positions)
    if not wanted:
        return {}
    offsets = [position.offset for position in wanted]
    where = f"kafka_offset >= {min(offsets)} and kafka_offset <= {max(offsets)}"
    return {letter.position: letter for letter in _letters(lake, where, wanted)}


def get(lake: Lakehouse, position: Position) -> Letter:
    """The letter at a position; StreamError if there is none."""
    found = find(lake, [position])
    if position not in found:
        raise StreamError(f"There is no dead letter {position}", "take a position that `c360 dlq export` writes")
    return found[position]


def replayed(lake: Lakehouse) -> pl.DataFrame:
    """Positions of the letters that were published again."""
    import polars as pl

    if not lake.exists(REPLAYED):
        return pl.DataFrame(schema=dict(zip(PLACE, (pl.String, pl.Int32, pl.Int64), strict=True)))
    return pl.DataFrame(pl.from_arrow(lake.read(REPLAYED, PLACE))).unique()


def describe(
    letter: Letter, *, clear: bool = False, topics: Mapping[str, TopicContract] | None = None
) -> dict[str, Any]:
    """One letter for people: where it was, why it was refused, what its contract says today, and what is in it.

    ``now`` is the refusal of the contract as it is today, None if it would be taken. Values that identify a person,
    and all that the contract does not know, are masked unless ``clear``.
    """
    from c360.events.errors import EventError
    from c360.events.schema import EventSchema

    topic = (load_topics() if topics is None else topics).get(letter.position.topic)
    now = None
    if topic is not None:
        try:
            EventSchema(topic).read(letter.value)
        except EventError as error:
            now = error.problem
    return {
        "letter": str(letter.position),
        "arrived": letter.arrived.isoformat(),
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "reason": letter.reason,
        "meaning": reasons().get(letter.reason, ""),
        "field": letter.field_name,
        "event_id": letter.event_id,
        "contract_version": letter.contract_version,
        "now": now,
        **readable(letter.value, topic, clear=clear),
    }


@cache
def reasons() -> Mapping[str, str]:
    """Reason → what it means, from the contract of the table."""
    layer, _, table = REFUSED.partition(".")
    (body,) = parse_contract(STREAMS / layer / f"{table}.yaml").schema_ or []
    column = next(item for item in body.properties or () if item.name == "reason")
    return {str(item.value): item.description or "" for item in column.enum or ()}


def _letters(lake: Lakehouse, where: str | None, wanted: set[Position] | None = None) -> Iterator[Letter]:
    if not lake.exists(REFUSED):
        return
    seen: set[Position] = set()
    for batch in lake.reader(REFUSED, _COLUMNS, where):
        for row in zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True):
            position = Position(*row[: len(PLACE)])
            if position not in seen and (wanted is None or position in wanted):
                seen.add(position)
                yield Letter(position, row[3].astimezone(UTC), *row[4:])


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise StreamError(f"'{text}' is no moment", "write it as 2025-12-31 or 2025-12-31T12:00:00+00:00") from None
    if found.tzinfo is None and len(text) > len("2025-12-31"):
        raise StreamError(f"Moment '{text}' has no time zone", "write it as 2025-12-31T12:00:00+00:00")
    return found.replace(tzinfo=found.tzinfo or UTC)
