"""``c360 tables``: what is in the lakehouse, its past, and its upkeep."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from c360.errors import C360Error, LakehouseError
from c360.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.lakehouse import CommitInfo, Lakehouse

app = typer.Typer(no_args_is_help=True, help="Tables of the lakehouse: contents, past and upkeep.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(help="Table, such as silver.orders.")]
Names = Annotated[list[str] | None, typer.Argument(help="Tables; all when none is named.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", help="Moment in ISO 8601 with zone, or a date (its midnight UTC).")
]


@app.command("list")
def list_tables(*, as_json: Json = False) -> None:
    """All tables with their rows and last commit."""
    with _lake() as lake:
        found = [_overview(lake, name) for name in lake.names()]
    headings = ("table", "rows", "committed", "watermark", "version", "run", "snapshot")
    _print(found, headings, as_json=as_json, empty="The lakehouse has no tables yet; `make demo` builds them.")


@app.command("history")
def history(name: Name, *, as_json: Json = False) -> None:
    """Published snapshots of a table, newest first, with tags and branches."""
    with _lake() as lake:
        commits, refs = lake.history(name), lake.refs(name)
    if as_json:
        typer.echo(json.dumps({"refs": refs, "snapshots": [_plain(commit) for commit in commits]}, indent=2))
        return
    rows = [
        {
            "snapshot": str(c.snapshot_id),
            "committed": _time(c.committed_at),
            "operation": c.upkeep or c.operation,
            "rows": c.rows,
            "watermark": c.watermark,
            "run": c.run_id,
            "names": ", ".join(ref for ref, snapshot_id in refs.items() if snapshot_id == c.snapshot_id),
        }
        for c in commits
    ]
    _print(rows, ("snapshot", "committed", "operation", "rows", "watermark", "run", "names"), as_json=False)
    shown = {c.snapshot_id for c in commits}
    for ref, snapshot_id in refs.items():
        if snapshot_id not in shown:
            typer.echo(f"{ref} is at snapshot {snapshot_id}, which is not published")


@app.command("rollback")
def rollback(
    name: Name,
    to: Annotated[int | None, typer.Option("--to", help="Snapshot id.")] = None,
    as_of: AsOf = None,
    *,
    as_json: Json = False,
) -> None:
    """Publish an earlier snapshot again; nothing is deleted."""
    with _lake() as lake:
        before = lake.snapshot(name)
        after = lake.rollback(name, snapshot_id=to, as_of=_moment(as_of))
    _done({"table": name, "before": before, "after": after}, f"{name} is at snapshot {after} again.", as_json=as_json)


@app.command("tag")
def tag(
    name: Name,
    label: Annotated[str, typer.Argument(help="Name for the snapshot.")],
    snapshot: Annotated[
        int | None, typer.Option("--snapshot", help="Snapshot id; the published one if omitted.")
    ] = None,
    *,
    drop: Annotated[bool, typer.Option("--drop", help="Drop the tag instead.")] = False,
    as_json: Json = False,
) -> None:
    """Name a snapshot, so that it is kept and can be read by that name."""
    with _lake() as lake:
        if drop:
            lake.untag(name, label)
            _done(
                {"table": name, "tag": label, "snapshot": None}, f"{name} has no tag {label} any more.", as_json=as_json
            )
            return
        at = lake.tag(name, label, snapshot)
    _done({"table": name, "tag": label, "snapshot": at}, f"{name} {label} is snapshot {at}.", as_json=as_json)


@app.command("maintain")
def maintain(
    names: Names = None,
    as_of: AsOf = None,
    *,
    retention: Annotated[bool, typer.Option(help="Also remove rows older than their contract keeps them.")] = False,
    as_json: Json = False,
) -> None:
    """Join small files, expire old snapshots with their files, and remove orphans; needs the Spark engine.

    With --retention also remove rows whose time is over at --as-of, which must then be given.
    """
    from c360.engines.spark import connect
    from c360.lakehouse.maintenance import consumers, maintain

    settings = Settings()
    moment = _moment(as_of)
    if retention and moment is None:
        raise LakehouseError("Retention does not read the clock", "give --as-of")
    with _lake(settings) as lake:
        chosen = _existing(lake, names)
        removed = _retain(lake, chosen, moment) if retention and moment else {}
        needed = consumers(lake)
        spark = connect(settings)
        try:
            done = [maintain(lake, spark, name, needed=needed.get(name, {}), now=moment) for name in chosen]
        finally:
            spark.stop()
    rows = [{"table": u.name, "removed_rows": removed.get(u.name, 0), **asdict(u)} for u in done]
    for row in rows:
        del row["name"]
    headings = ("table", "removed_rows", "rewritten_files", "written_files", "expired_snapshots", "deleted_files")
    _print(rows, (*headings, "orphan_files"), as_json=as_json)


def _retain(lake: Lakehouse, names: Sequence[str], moment: datetime) -> dict[str, int]:
    from c360.contracts import load_contracts
    from c360.lakehouse.retention import retain

    contracts = load_contracts()
    return {name: retain(lake, contracts[name], moment, "c360 tables maintain") for name in names if name in contracts}


def _lake(settings: Settings | None = None) -> Lakehouse:
    from c360.lakehouse import Lakehouse

    return Lakehouse(settings or Settings())


def _existing(lake: Lakehouse, names: list[str] | None) -> list[str]:
    known = lake.names()
    missing = [name for name in names or () if name not in known]
    if missing:
        raise LakehouseError(f"There is no table {', '.join(missing)}", "pick from those that 'c360 tables list' shows")
    return names or known


def _overview(lake: Lakehouse, name: str) -> dict[str, Any]:
    commit = lake.last_commit(name)
    return {
        "table": name,
        "rows": lake.row_count(name),
        "committed": _time(commit.committed_at) if commit else None,
        "watermark": commit.watermark if commit else None,
        "version": commit.contract_version if commit else None,
        "run": commit.run_id if commit else None,
        "snapshot": lake.snapshot(name),
    }


def _plain(commit: CommitInfo) -> dict[str, Any]:
    return {**asdict(commit), "committed_at": commit.committed_at.isoformat()}


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if len(text) == len("2025-01-31"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise C360Error(f"'{text}' is no moment", "write it as 2025-01-31 or 2025-01-31T12:00:00+00:00") from error
    if moment.tzinfo is None:
        raise C360Error(f"'{text}' has no time zone", "add one, such as +00:00")
    return moment


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _done(facts: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(facts) if as_json else sentence)


def _print(
    rows: list[dict[str, Any]], headings: Sequence[str], *, as_json: bool, empty: str = "Nothing to show."
) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        number = all(isinstance(row[heading], int | None) for row in rows) and heading != "snapshot"
        table.add_column(heading.replace("_", " "), justify="right" if number else "left", no_wrap=i == 0)
    for row in rows:
        table.add_row(*(escape(_cell(row[heading])) for heading in headings))
    Console().print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and value < 10**15 else str(value)
