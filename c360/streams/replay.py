"""Replaying dead letters: each is published once, under an id that stays the same however often it is tried.

What was published is recorded in ``silver.replayed_letters`` and skipped from then on. A crash may come between the
two: the letter is then published once more under the same event id, which readers count once within the deduplication
horizon of the topic.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from c360.cdc.connector import topic as changes_of
from c360.cdc.schema import NAMES
from c360.contracts.loader import get_contract
from c360.contracts.topic import load_topics
from c360.errors import LakehouseError, StreamError
from c360.events.errors import BrokerUnreachable, EventError, InvalidEvent, RefusedAgain, RegistryUnreachable
from c360.streams.dead_letters import PLACE, REPLAYED, Letter, Position, replayed
from c360.streams.letter_file import Draft
from c360.streams.letter_text import unseal

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table, Transaction

    from c360.contracts.topic import TopicContract
    from c360.events import EventProducer, KeyRing
    from c360.events.results import PublishResult
    from c360.lakehouse import Lakehouse
    from c360.settings import Settings

BATCH = 1000
"""Letters between two commits: what a crash makes the next replay publish again."""

NAMESPACE = uuid.UUID("5d0c2c0e-9d8a-5b0f-8a4e-6c3f0c360d19")
"""Ids of events that had none are made in it, of their positions; never to be changed."""

Outcome = Literal["published", "already_replayed", "refused"]


@dataclass(frozen=True)
class Replayed:
    """What became of one letter: where its event lies now, or the error that says why it was not published."""

    position: Position
    outcome: Outcome
    event_id: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    error: EventError | None = None

    def row(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "letter": str(self.position),
            "outcome": self.outcome,
            "event_id": self.event_id,
            "published": None if self.offset is None else f"{self.topic}/{self.partition}/{self.offset}",
            "error": None if self.error is None else type(self.error).__name__,
            "problem": None if self.error is None else self.error.problem,
            "mend": None if self.error is None else self.error.mend,
        }


def open_producer(settings: Settings) -> EventProducer:
    """The producer that publishes letters again; use it as a context manager."""
    from c360.events import EventProducer, ProducerConfig, RegistryClient, key_ring

    config = ProducerConfig(settings.kafka_servers, client_id="c360-dlq")
    return EventProducer(config, RegistryClient(settings.registry_address), key_ring(settings))


def event_id_of(position: Position, event: Mapping[str, Any]) -> str:
    """The id under which a letter's event is published: its own, else one made of the position."""
    own = event.get("event_id")
    # One of a wrong form is not replaced: the contract refuses it, and a person decides.
    return str(uuid.uuid5(NAMESPACE, str(position))) if own is None else str(own)


def replay(
    lake: Lakehouse,
    drafts: Sequence[Draft],
    producer: EventProducer,
    run_id: str,
    at: datetime,
    keys: KeyRing | None = None,
    topics: Mapping[str, TopicContract] | None = None,
) -> list[Replayed]:
    """Publish the letters that were not yet published, and record them; one result for each, in their order.

    ``keys`` open the fields that are sealed in the letters; ``at`` is when the replay happens. One letter's refusal
    holds up no other. Raises StreamError if published letters cannot be recorded; the same replay may then
    be run again.
    """
    known = load_topics() if topics is None else topics
    lake.ensure(get_contract(REPLAYED))
    done = {Position(*row) for row in replayed(lake).rows()}
    results = {d.letter.position: Replayed(d.letter.position, "already_replayed") for d in drafts}
    waiting = [draft for draft in {d.letter.position: d for d in drafts}.values() if draft.letter.position not in done]
    silence: EventError | None = None
    for start in range(0, len(waiting), BATCH):
        batch: list[tuple[Draft, dict[str, Any]]] = []
        for draft in waiting[start : start + BATCH]:
            try:
                if silence is not None:
                    raise silence.with_traceback(None)
                batch.append((draft, _prepare(draft, keys, at, known)))
            except EventError as error:
                results[draft.letter.position] = _refused(draft, error)
        sent = producer.publish_batch(event for _, event in batch)
        found = [_result(draft, result) for (draft, _), result in zip(batch, sent, strict=True)]
        results |= {result.position: result for result in found}
        published = [(d, r) for (d, _), r in zip(batch, found, strict=True) if r.outcome == "published"]
        _record(lake, published, run_id, at)
        # Where nobody answers, each further batch would only wait for its time to be over.
        silence = silence or next(
            (r.error for r in found if isinstance(r.error, BrokerUnreachable | RegistryUnreachable)), None
        )
    return [results[draft.letter.position] for draft in drafts]


def _prepare(draft: Draft, keys: KeyRing | None, at: datetime, topics: Mapping[str, TopicContract]) -> dict[str, Any]:
    """The event as the producer takes it; EventError if it must not or cannot be published."""
    letter, topic = draft.letter, topics.get(draft.letter.position.topic)
    if draft.event is None:
        raise InvalidEvent(
            "The letter is no JSON object", "export it, write the event that it should be, and replay that"
        )
    event = {**deepcopy(draft.event), "event_id": event_id_of(letter.position, draft.event)}
    if letter.reason == "conflicting_duplicate" and event["event_id"] == letter.event_id:
        raise RefusedAgain(
            f"Another content under the id {letter.event_id} was accepted before",
            "give the event a new event_id, or none, if it is another event; else leave the letter",
        )
    if letter.position.topic in {changes_of(table) for table in NAMES}:
        raise InvalidEvent(
            "Changes of the shop's rows are told by its database only",
            "mend the row there; or the contract, and materialise the table's history with full_refresh",
        )
    if topic is None:
        raise InvalidEvent(f"Topic {letter.position.topic} has no contract", "describe the topic, or leave the letter")
    _refuse_times(event, topic, at)
    own = (letter.event or {}).get("event_id")
    ids = [name for name in dict.fromkeys((own, letter.event_id, event["event_id"])) if isinstance(name, str)]
    return unseal(event, topic, ids, keys)


def _refuse_times(event: Mapping[str, Any], topic: TopicContract, at: datetime) -> None:
    try:
        happened = datetime.fromisoformat(str(event.get("event_timestamp")))
    except ValueError:
        return
    if happened.tzinfo is None:
        return
    if happened > at + timedelta(seconds=topic.clock_skew):
        raise RefusedAgain(f"It happened at {happened}, which is still to come", "correct event_timestamp, or wait")
    if happened < at - timedelta(days=topic.max_age_days):
        raise RefusedAgain(
            f"It happened at {happened}, more than {topic.max_age_days} days ago",
            "correct event_timestamp; what is older belongs into a landing file",
        )


def _refused(draft: Draft, error: EventError) -> Replayed:
    event_id = None if draft.event is None else event_id_of(draft.letter.position, draft.event)
    return Replayed(draft.letter.position, "refused", event_id, error=error)


def _result(draft: Draft, result: PublishResult) -> Replayed:
    if result.error is not None:
        return _refused(draft, result.error)
    place = (result.topic, result.partition, result.offset)
    return Replayed(draft.letter.position, "published", result.event_id, *place)


def _record(lake: Lakehouse, published: Sequence[tuple[Draft, Replayed]], run_id: str, at: datetime) -> None:
    from c360.lakehouse.ledger import Commit

    if not published:
        return
    contract = get_contract(REPLAYED)
    told = Commit(run_id, contract_version=contract.version, extra={"c360.replayed": str(len(published))})
    rows = _rows(lake, published, run_id, at)

    def change(table: Table) -> Transaction | None:
        import polars as pl

        # Another replay may have recorded the same letters meanwhile; each is there once.
        there = pl.DataFrame(pl.from_arrow(table.scan(selected_fields=PLACE).to_arrow()))
        new = pl.DataFrame(pl.from_arrow(rows)).join(there, on=PLACE, how="anti")
        if new.is_empty():
            return None
        transaction = table.transaction()
        transaction.append(new.to_arrow().cast(rows.schema), snapshot_properties=told.properties())
        return transaction

    try:
        lake.commit(REPLAYED, change, f"record replayed letters in {REPLAYED}")
    except LakehouseError as error:
        horizon = min(topic.dedup_horizon_hours for topic in load_topics().values())
        raise StreamError(
            f"{len(published)} letters were published and are not recorded: {error.problem}",
            f"{error.mend}; then run the same replay again within {horizon} hours: readers count each event once",
        ) from error


def _rows(lake: Lakehouse, published: Sequence[tuple[Draft, Replayed]], run_id: str, at: datetime) -> pa.Table:
    import pyarrow as pa

    rows = [
        {
            **dict(zip(PLACE, (r.position.topic, r.position.partition, r.position.offset), strict=True)),
            "reason": draft.letter.reason,
            "event_id": r.event_id,
            "outcome": "published_mended" if draft.mended else "published_as_it_was",
            "published_topic": r.topic,
            "published_partition": r.partition,
            "published_offset": r.offset,
            "replayed_at": at.astimezone(UTC),
            "run_id": run_id,
        }
        for draft, r in published
    ]
    return pa.Table.from_pylist(rows, schema=lake.empty(REPLAYED).schema)


def as_they_are(letters: Sequence[Letter]) -> list[Draft]:
    """Letters to be published unchanged, after a contract or a job was mended."""
    return [Draft(letter, letter.event) for letter in letters]
