"""``c360 dlq``: the messages that the streams refused, looked at, taken out to be mended, and published again."""

from __future__ import annotations

import json
import logging
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c360.cli.output import print_rows
from c360.errors import StreamError
from c360.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from c360.lakehouse import Lakehouse
    from c360.streams.dead_letters import Letter
    from c360.streams.replay import Replayed

app = typer.Typer(no_args_is_help=True, help="Dead letters: what the streams refused, and its replay.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Topic = Annotated[str | None, typer.Option(help="Only letters of this topic.")]
Reason = Annotated[str | None, typer.Option(help="Only letters refused for this reason.")]
Since = Annotated[str | None, typer.Option(help="Only letters that arrived then or later: a date, or ISO 8601.")]
Until = Annotated[str | None, typer.Option(help="Only letters that arrived before.")]
Chosen = Annotated[
    list[str] | None, typer.Option("--letter", help="This letter, as raw-events/0/12; may be given again.")
]
Clear = Annotated[bool, typer.Option("--clear", help="Show what identifies a person, too.")]

SHOWN = 20
"""Refusals that are printed for people; --json has all."""


@app.command("list")
def list_letters(
    topic: Topic = None, reason: Reason = None, since: Since = None, until: Until = None, *, as_json: Json = False
) -> None:
    """Letters by topic, reason and field, with the first and last arrival and how many were replayed."""
    from c360.streams.dead_letters import Selection, counts

    selection = Selection.of(topic, reason, since, until)
    with _lake(Settings()) as lake:
        rows = [{**row, "first": _time(row["first"]), "last": _time(row["last"])} for row in counts(lake, selection)]
    print_rows(rows, as_json=as_json, empty="There are no such dead letters.", text=_text, ascii_only=False)


@app.command("show")
def show(
    letter: Annotated[str, typer.Argument(help="Position, as raw-events/0/12.")],
    *,
    clear: Clear = False,
    as_json: Json = False,
) -> None:
    """One letter: what is in it, and why it was refused. What identifies a person is masked."""
    from c360.streams.dead_letters import Position, describe, get
    from c360.streams.letter_text import dump, pretty

    with _lake(Settings()) as lake:
        found = describe(get(lake, Position.parse(letter)), clear=clear)
    if as_json:
        typer.echo(dump(found))
        return
    found["now"] = found["now"] or "the contract would take it"
    for name, value in found.items():
        typer.echo(f"{name.replace('_', ' ')}: {_text(value) if name != 'event' else ''}".rstrip())
        if name == "event":
            typer.echo("\n".join(map(_text, pretty(value).split("\n"))))


@app.command("export")
def export(
    to: Annotated[Path, typer.Argument(help="New file, in JSON lines.")],
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    letter: Chosen = None,
    *,
    clear: Clear = False,
    as_json: Json = False,
) -> None:
    """Write letters to a file that a person can mend. Masks may stay: the replay puts back what they hide."""
    from c360.streams.letter_file import export

    with _lake(Settings()) as lake:
        count = export(_chosen(lake, topic, reason, since, until, letter), to, clear=clear)
    typer.echo(json.dumps({"file": str(to), "letters": count}) if as_json else f"{count} letters are in {to}")


@app.command("replay")
def replay(
    file: Annotated[Path | None, typer.Argument(help="Mended file; without it, letters as they are.")] = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    letter: Chosen = None,
    *,
    as_json: Json = False,
) -> None:
    """Publish the letters of a mended file, or chosen ones as they are; exit code 1 if any is refused.

    A letter that was replayed before is left out, so that a second replay adds nothing.
    """
    from c360.events import key_ring
    from c360.streams.letter_file import read
    from c360.streams.replay import as_they_are, open_producer, replay

    some = any((topic, reason, since, until, letter))
    if (file is not None) == some:
        raise StreamError(
            "A file and a choice of letters exclude each other, and one is needed",
            "give either a file that was exported, or --topic, --reason, --since, --until or --letter",
        )
    # Each letter's own result tells what the client would print for the connection.
    logging.getLogger("c360.events.kafka").addHandler(logging.NullHandler())
    settings = Settings()
    with _lake(settings) as lake:
        drafts = read(file, lake) if file else as_they_are(_chosen(lake, topic, reason, since, until, letter))
        with open_producer(settings) as producer:
            run = f"dlq-{uuid.uuid4().hex[:12]}"
            results = replay(lake, drafts, producer, run, datetime.now(UTC), key_ring(settings))
    _results(results, as_json=as_json)
    if any(result.outcome == "refused" for result in results):
        raise typer.Exit(1)


def _results(results: Sequence[Replayed], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([result.row() for result in results], indent=2, ensure_ascii=False))
        return
    refused = [result.row() for result in results if result.outcome == "refused"]
    if refused:
        shown = [{key: row[key] for key in ("letter", "error", "problem", "mend")} for row in refused[:SHOWN]]
        print_rows(shown, as_json=False, empty="", text=_text)
        if len(refused) > SHOWN:
            typer.echo(f"… and {len(refused) - SHOWN} more (--json shows all)")
    counted = {name: sum(result.outcome == name for result in results) for name in ("published", "already_replayed")}
    typer.echo(
        f"{len(results)} letters: {counted['published']} published, "
        f"{counted['already_replayed']} already replayed, {len(refused)} refused"
    )


def _chosen(
    lake: Lakehouse,
    topic: str | None,
    reason: str | None,
    since: str | None,
    until: str | None,
    named: list[str] | None,
) -> list[Letter]:
    from c360.streams.dead_letters import Position, Selection, get, select

    selection = Selection.of(topic, reason, since, until)
    if not named:
        return select(lake, selection)
    if selection:
        raise StreamError("Letters are named and filtered", "give either --letter or filters")
    return [get(lake, position) for position in dict.fromkeys(map(Position.parse, named))]


@contextmanager
def _lake(settings: Settings) -> Iterator[Lakehouse]:
    from c360.lakehouse import Lakehouse

    with Lakehouse(settings) as lake:
        yield lake


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _text(value: object) -> str:
    """A value in one line: what would move the cursor of a terminal is escaped."""
    text = "-" if value is None else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
