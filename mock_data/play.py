"""Plays a company into Kafka through the event SDK, with defects and a ledger of what really went in."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from c360.errors import C360Error
from c360.events.model import Event, LogEvent, MetricEvent, SystemEvent, TransactionEvent
from c360.events.schema import load_schemas
from mock_data.play_foreign import Foreign
from mock_data.play_ledger import Ledger, millis
from mock_data.play_machines import with_machines
from mock_data.play_source import Source, Timeline, stream
from mock_data.play_spoil import SPOILED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from c360.events.producer import EventProducer
    from c360.events.results import PublishResult

DUPLICATE, CONTRADICTORY, DELAYED, LATE = "duplicate", "contradictory", "delayed", "late"
RATES = {DUPLICATE: 0.02, CONTRADICTORY: 0.003, DELAYED: 0.01, LATE: 0.005, "spoiled": 0.01}
"""Share of the clean events that have a companion of this kind; each kind that a play is long enough for occurs."""

BATCH = 5000
_GAP = (50, 3000)
"""Events between one and its repetition, or between when a delayed one was due and when it comes."""

_LATE_MINUTES = (11, 600)
"""How long before its arrival a late event happened: more than any topic waits."""


@dataclass(frozen=True)
class Played:
    """What went in. ``counts`` is as in ``counts.json``; ``errors`` are events that were not taken, by name."""

    folder: Path
    counts: dict[str, Any]
    errors: dict[str, int]
    sent: int
    seconds: float


@dataclass(frozen=True)
class _Item:
    """Something to send: an event through the SDK, or bytes past it."""

    event: Event
    arrived: datetime
    defect: str = ""
    spoiled: bool = False


def play(
    of: Source,
    producer: EventProducer,
    folder: Path,
    *,
    seed: int = 360,
    rate: float | None = None,
    until: datetime | None = None,
    span: timedelta | None = None,
    limit: int | None = None,
    renewed: str = "",
    machines: bool = True,
    defects: bool = True,
) -> Played:
    """Publish the events of ``of`` and write the ledger into ``folder``, which must be empty or new.

    ``rate`` is events a second, None as fast as possible. ``until`` moves all moments so that the last event happens
    then, and ``span`` moves them closer together until the whole play is no longer; the messages then carry the moments
    at which they would have arrived, else the broker's. ``limit`` is the number of clean events of customers;
    ``machines`` adds what the services say meanwhile. ``renewed``, any text, gives the events ids of this play.

    The same arguments send the same messages. What was acknowledged is in the ledger also when the play is broken off
    by an exception. Raises C360Error if the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise C360Error(f"{folder} already holds a ledger", "name another folder, or move it away")
    if rate is not None and not rate > 0:
        raise C360Error(f"A rate of {rate} events a second is not possible", "give a rate above 0")
    folder.mkdir(parents=True, exist_ok=True)
    when = Timeline.of(of, limit, until, span, renewed)
    stamped = until is not None
    ledger, errors, sent = Ledger(folder), Counter[str](), 0
    foreign = Foreign(producer.config)
    began = time.monotonic()
    events = with_machines(stream(of, when, limit)) if machines else stream(of, when, limit)
    items = (
        _with_defects(events, random.Random(seed))
        if defects
        else (_Item(event, event.event_timestamp) for event in events)
    )
    size = BATCH if rate is None else max(1, min(BATCH, round(rate / 10)))
    try:
        while batch := list(islice(items, size)):
            _send(batch, producer, foreign, ledger, errors, stamped=stamped)
            sent += len(batch)
            if rate is not None:
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    finally:
        seconds = time.monotonic() - began
        counts = ledger.close(until=when.end.isoformat(), pace=when.pace, errors=dict(errors))
    return Played(folder, counts, dict(errors), sent, seconds)


def _with_defects(events: Iterator[Event], rng: random.Random) -> Iterator[_Item]:
    """The events with companions: some come again, some late, some beside a broken message."""
    waiting: list[tuple[int, int, _Item]] = []
    kinds = list(SPOILED)
    spoiled = 0
    number = -1
    for number, event in enumerate(events):
        now = event.event_timestamp
        due = [entry for entry in waiting if entry[0] <= number]
        if due:
            waiting = [entry for entry in waiting if entry[0] > number]
            yield from (replace(entry[2], arrived=now) for entry in sorted(due, key=lambda entry: entry[:2]))
        draw = rng.random()
        if draw < RATES[DELAYED]:
            waiting.append((number + rng.randint(*_GAP), number, _Item(event, now, DELAYED)))
            continue
        draw -= RATES[DELAYED]
        if draw < RATES[LATE]:
            before = now - timedelta(minutes=rng.randint(*_LATE_MINUTES))
            yield _Item(msgspec.structs.replace(event, event_timestamp=before), now, LATE)
            continue
        yield _Item(event, now)
        draw -= RATES[LATE]
        if draw < RATES[DUPLICATE]:
            waiting.append((number + rng.randint(*_GAP), number, _Item(event, now, DUPLICATE)))
        elif draw < RATES[DUPLICATE] + RATES[CONTRADICTORY]:
            waiting.append((number + rng.randint(*_GAP), number, _Item(_contradicted(event), now, CONTRADICTORY)))
        elif draw < RATES[DUPLICATE] + RATES[CONTRADICTORY] + RATES["spoiled"]:
            yield _Item(event, now, kinds[spoiled % len(kinds)], spoiled=True)
            spoiled += 1
    yield from (replace(entry[2], arrived=now) for entry in sorted(waiting, key=lambda entry: entry[:2]))


def _contradicted(event: Event) -> Event:
    """The same event id with another content."""
    return msgspec.structs.replace(event, source_system=f"{event.source_system}-2")


def _send(
    batch: list[_Item],
    producer: EventProducer,
    foreign: Foreign,
    ledger: Ledger,
    errors: Counter[str],
    *,
    stamped: bool,
) -> None:
    proper = [item for item in batch if not item.spoiled]
    arrivals = [millis(item.arrived) for item in proper] if stamped else None
    for item, result in zip(proper, producer.publish_batch([item.event for item in proper], arrivals), strict=True):
        if result.ok:
            ledger.add(_row(item, result, stamped=stamped))
        else:
            errors[type(result.error).__name__] += 1
    wrong = [item for item in batch if item.spoiled]
    for item, place in zip(wrong, foreign.send(wrong, stamped=stamped), strict=True):
        if place is None:
            errors["NotSpoiled"] += 1
        else:
            told = (item.defect, "rejected", SPOILED[item.defect][0], item.arrived if stamped else None, False)
            ledger.add((*place, None, None, None, None, None, *told))


def _row(item: _Item, result: PublishResult, *, stamped: bool) -> tuple[Any, ...]:
    event = item.event
    outcome, reason = "accepted", None
    if item.defect == DUPLICATE:
        outcome = "deduplicated"
    elif item.defect == CONTRADICTORY:
        outcome, reason = "rejected", "conflicting_duplicate"
    kind = getattr(event, "event_type", None)
    where = (result.topic, result.partition, result.offset)
    waits = load_schemas()[str(kind)].contract.lateness * 1000
    late = stamped and outcome == "accepted" and millis(event.event_timestamp) < millis(item.arrived) - waits
    told = (item.defect, outcome, reason, item.arrived if stamped else None, late)
    return (*where, event.event_id, kind, event.event_timestamp, *_measured(event), *told)


def _measured(event: Event) -> tuple[str, Decimal | None]:
    """What five-minute metrics count and sum up of an event."""
    match event:
        case TransactionEvent():
            return "amount", event.payload.amount
        case MetricEvent():
            return event.payload.metric_name, Decimal(repr(event.payload.value))
        case SystemEvent():
            took = event.payload.duration_ms
            return "duration_ms", None if took is None else Decimal(took)
        case LogEvent():
            return event.payload.level, None
    return "events", None
