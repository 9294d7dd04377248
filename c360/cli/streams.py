"""``c360 streams``: streaming jobs, which run on Flink until somebody stops them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c360.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from c360.streams.runner import Streams

app = typer.Typer(no_args_is_help=True, help="Streaming jobs on Flink: look, start, stop, upgrade.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(help="Name of the stream.")]


@contextmanager
def _streams() -> Iterator[Streams]:
    from c360.streams.runner import Streams

    streams = Streams(Settings())
    try:
        yield streams
    finally:
        streams.close()


@app.command("list")
def list_streams(*, as_json: Json = False) -> None:
    """All streams of the project: what they read and write, and whether they should run."""
    with _streams() as streams:
        rows = [
            {
                "stream": job.name,
                "wanted": streams.records.read(name).wanted or job.wanted,
                "reads": list(job.inputs),
                "writes": list(job.outputs),
                "description": job.description,
            }
            for name, job in streams.jobs.items()
        ]
    _print(rows, as_json=as_json, empty="There are no streams: add streaming_jobs/jobs/<job>/job.yaml.")


@app.command("status")
def status(
    names: Annotated[list[str] | None, typer.Argument(help="Streams (default: all).")] = None, *, as_json: Json = False
) -> None:
    """What each stream does now and what the next step would be; exit code 1 if one is not as it is wanted."""
    from c360.streams.status import status as look

    with _streams() as streams:
        found = [look(streams, name) for name in names or streams.jobs]
    rows = [asdict(each) for each in found]
    if not as_json:
        shown = ("stream", "wanted", "state", "job_id", "next_step", "checkpoint_age_s", "pending", "restarts")
        rows = [{key: "-" if row[key] is None else row[key] for key in shown} for row in rows]
    _print(rows, as_json=as_json, empty="There are no streams.")
    if not as_json:
        for each in found:
            typer.echo(f"{each.stream}: {each.reason}")
    if not all(each.as_wanted for each in found):
        raise typer.Exit(1)


@app.command("start")
def start(
    name: Name,
    *,
    from_path: Annotated[str | None, typer.Option("--from", help="Checkpoint or savepoint to resume from.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin without state: rows that are in its tables are written again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start the stream, or resume it from its newest state; it is kept running until `c360 streams stop`."""
    with _streams() as streams:
        job_id = streams.start(name, from_path, fresh=fresh)
        newest = streams.records.read(name).newest
    _done({"stream": name, "job_id": job_id, "from": newest.restored_from if newest else None}, as_json=as_json)


@app.command("stop")
def stop(
    name: Name,
    *,
    savepoint: Annotated[bool, typer.Option(help="Take a savepoint; without, it resumes from a checkpoint.")] = True,
    as_json: Json = False,
) -> None:
    """Stop the stream with a savepoint; it stays stopped until `c360 streams start`."""
    with _streams() as streams:
        path = streams.stop(name, savepoint=savepoint)
    _done({"stream": name, "stopped": True, "savepoint": path}, as_json=as_json)


@app.command("upgrade")
def upgrade(name: Name, *, as_json: Json = False) -> None:
    """Run the stream's SQL as it is now with its state; back to the old SQL (exit code 1) if the new one fails."""
    from c360.streams.upgrade import upgrade as change

    with _streams() as streams:
        done = change(streams, name)
    _done(asdict(done), as_json=as_json)
    if done.result == "fell_back":
        raise typer.Exit(1)


def _done(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(", ".join(f"{key}: {value}" for key, value in facts.items() if value not in {None, ""}))


def _print(rows: list[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    if not rows:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*(heading.replace("_", " ") for heading in rows[0]), box=None, pad_edge=False)
    for row in rows:
        cells = (", ".join(value) if isinstance(value, list) else str(value) for value in row.values())
        table.add_row(*(escape(cell) for cell in cells))
    Console().print(table)
