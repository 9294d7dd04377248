"""``c360 land`` and ``c360 profile``: bring a file of one's own under the contracts."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from c360.errors import LandingError
from c360.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from c360.ingest.land import Landed
    from c360.ingest.mapping_run import Tally
    from c360.ingest.mapping_trial import Sample, Trial
    from c360.ingest.profile import Profile

from contextlib import contextmanager

DEFAULT_SHARE = 0.05

File = Annotated[
    Path, typer.Argument(help="CSV, JSON Lines or Parquet file, also .gz, .bz2 or .zst.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def register(app: typer.Typer) -> None:
    """Add the two commands to the application."""
    app.command("land")(land)
    app.command("profile")(profile)


def land(
    file: File,
    target: Annotated[str, typer.Option("--as", help="Source entity it stands for, such as shop.orders.")],
    mapping: Annotated[Path, typer.Option(help="Mapping file; `c360 profile` proposes one.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would become of it; write nothing.")] = False,
    batch_date: Annotated[str | None, typer.Option(help="Day it is landed under (YYYY-MM-DD); default: today.")] = None,
    lookup: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH of a look-up file, where it lies elsewhere.")
    ] = None,
    max_rejected: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help=f"Exit with 1 above this share of rejected records (dry run: {DEFAULT_SHARE}; without one: no check).",
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="Records a dry run looks at; 0: all.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Land a file of your own under the contract of a source entity.

    Landing the same file with the same mapping again does nothing. Exit code 1: too many rejected records, or refused.
    """
    from c360.ingest import land as landing
    from c360.ingest.mapping_trial import try_out

    day = _date(batch_date)
    plan = landing.plan(file, target, mapping, _lookups(lookup or []))
    if dry_run or max_rejected is not None:
        with _progress(f"Trying {file.name}", quiet=as_json) as seen:
            trial = try_out(plan, day, sample or None, seen)
        limit = DEFAULT_SHARE if max_rejected is None else max_rejected
        above = trial.rejected_share > limit
        if dry_run or above:
            _print_json(trial, above) if as_json else _show_trial(trial, limit)
            raise typer.Exit(1 if above else 0)
    with _progress(f"Landing {file.name}", quiet=as_json) as seen:
        landed = landing.land(plan, Settings().landing_dir, day, seen)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(landed), indent=2))
    else:
        _show_landed(landed, file)


def profile(
    file: File,
    target: Annotated[str, typer.Option("--as", help="Source entity it stands for, such as shop.orders.")],
    out: Annotated[Path | None, typer.Option(help="Write the proposed mapping into this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing --out file.")] = False,
    encoding: Annotated[str | None, typer.Option(help="Encoding, if the guess is wrong.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Records to look at.")] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Look into a file and propose the mapping that lands it."""
    from c360.ingest import profile as profiling

    found = profiling.profile(file, target, sample, encoding)
    if out is not None:
        profiling.save(found.text, out, overwrite=force)
    if as_json:
        columns = [dataclasses.asdict(c) | {"unique": c.unique} for c in found.statistics.columns]
        typer.echo(json.dumps({
            "file": found.file, "target": found.target, "records": found.statistics.rows,
            "source": found.source.model_dump(mode="json"), "columns": columns, "keys": found.statistics.keys,
            "mapping": [dataclasses.asdict(c) | {"todo": c.todo} for c in found.choices],
            "unused": found.unused, "todo": found.todo, "text": found.text,
        }, indent=2, ensure_ascii=False))  # fmt: skip
        return
    _show_profile(found, out)


def _date(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise LandingError(f"'{text}' is no date", "write --batch-date as YYYY-MM-DD") from None


def _lookups(options: list[str]) -> dict[str, Path]:
    pairs = [option.partition("=") for option in options]
    wrong = next((option for option, (_, sign, path) in zip(options, pairs, strict=True) if not sign or not path), None)
    if wrong is not None:
        raise LandingError(f"--lookup {wrong} names no file", "write --lookup NAME=PATH")
    return {name: Path(path) for name, _, path in pairs}


@contextmanager
def _progress(title: str, *, quiet: bool) -> Iterator[Callable[[Tally], None]]:
    """A line on a terminal's stderr that counts records; nothing otherwise."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(title)

        def seen(tally: Tally) -> None:
            bar.update(task, description=f"{title}: {tally.read:,} records")

        yield seen


def _print_json(trial: Trial, above: bool) -> None:
    body = dataclasses.asdict(trial) | {"rejected_share": trial.rejected_share, "above_max_rejected": above}
    typer.echo(json.dumps(body, indent=2, ensure_ascii=False))


def _show_landed(landed: Landed, file: Path) -> None:
    console = Console()
    if landed.already:
        console.print(f"[bold]{escape(file.name)}[/bold] has landed before with this mapping; nothing was done:")
        for name in landed.files:
            console.print(f"  {escape(name)}")
        return
    console.print(f"[bold]{landed.tally.written:,}[/bold] records landed as {landed.target}:")
    for name in landed.files:
        console.print(f"  {escape(name)}")
    _show_tally(console, landed.tally, landed.unused, landed.unmapped)


def _show_trial(trial: Trial, limit: float) -> None:
    console = Console()
    console.print(f"Dry run of [bold]{escape(trial.file)}[/bold] as {trial.target}: nothing was written.")
    if not trial.complete:
        console.print(f"Only the first {trial.tally.read:,} records were looked at (--sample 0: all).")
    table = Table(box=None, pad_edge=False)
    for heading in ("outcome", "records", "why"):
        table.add_column(heading, justify="right" if heading == "records" else "left", overflow="fold")
    table.add_row("accepted", f"{trial.accepted:,}")
    if trial.deduplicated:
        table.add_row(
            "deduplicated", f"{trial.deduplicated:,}", escape(f"same key and content: {_at(trial.duplicates)}")
        )
    for rejection in trial.rejections:
        what = rejection.reason + (f" in {rejection.column}" if rejection.column else "")
        table.add_row("[red]rejected[/red]", f"{rejection.count:,}", escape(f"{what}: {_at(rejection.samples)}"))
    for repair in trial.repairs:
        shown = ", ".join(f"{before!r} → {after!r}" for before, after in repair.examples)
        table.add_row("repaired", f"{repair.count:,}", escape(f"{repair.column}: {shown}"))
    console.print(table)
    _show_tally(console, trial.tally, trial.unused, trial.unmapped)
    verdict = "[red]more than" if trial.rejected_share > limit else "[green]within"
    console.print(f"Rejected: {trial.rejected_share:.2%}, {verdict} the limit of {limit:.2%}[/].")


def _at(samples: tuple[Sample, ...]) -> str:
    shown = [s.place + (f" {s.value!r}" if s.value is not None else f" key {s.key}" if s.key else "") for s in samples]
    return "; ".join(shown)


def _show_tally(console: Console, tally: Tally, unused: tuple[str, ...], unmapped: tuple[str, ...]) -> None:
    notes = [
        f"{tally.filtered:,} of {tally.read:,} records left out by `where`" if tally.filtered else "",
        f"{tally.malformed:,} records could not be split into columns" if tally.malformed else "",
        *(
            f"{count:,} values of {name} could not be read and are marked with ?"
            for name, count in tally.unreadable.items()
        ),
        *(f"{count:,} records have no match in the look-up {name}" for name, count in tally.unmatched.items()),
        f"source columns not used: {', '.join(unused)}" if unused else "",
        f"target columns left empty: {', '.join(unmapped)}" if unmapped else "",
    ]
    for note in filter(None, notes):
        console.print(f"  {escape(note)}", highlight=False)


def _show_profile(found: Profile, out: Path | None) -> None:
    console = Console()
    console.print(f"[bold]{escape(found.file)}[/bold]: {found.statistics.rows:,} records, {found.source.format}")
    table = Table(box=None, pad_edge=False)
    for heading in ("column", "type", "empty", "distinct", "range or values"):
        table.add_column(heading, justify="right" if heading in ("empty", "distinct") else "left", overflow="fold")
    for c in found.statistics.columns:
        kind = c.kind + (f" {c.formats[0]}" if c.formats and c.formats != ("iso",) else "")
        span = ", ".join(c.values) if c.distinct <= 8 else f"{c.minimum} … {c.maximum}"
        key = " (unique)" if c.unique else ""
        table.add_row(*map(escape, (c.name, kind, f"{c.nulls / c.rows:.1%}", f"{c.distinct:,}{key}", span[:80])))
    console.print(table)
    console.print(f"\nProposed mapping to [bold]{found.target}[/bold]:")
    table = Table(box=None, pad_edge=False)
    for heading in ("target column", "", "from", "confidence", "why"):
        table.add_column(heading, justify="right" if heading == "confidence" else "left", overflow="fold")
    for choice in found.choices:
        made = "" if choice.fields is None else " ".join(f"{k}: {v}" for k, v in choice.fields.items())
        made = f"[red]{escape(made)}[/red]" if choice.todo else escape(made)
        need = "required" if choice.required else ""
        sure = f"{choice.confidence:.2f}" if choice.confidence else ""
        table.add_row(choice.column, need, made, sure, escape(choice.why))
    console.print(table)
    if out is None:
        console.print("\nAdd --out m.yaml to write it.")
    else:
        todo = f"; decide {', '.join(found.todo)} first" if found.todo else ""
        console.print(f"\nWritten to {escape(str(out))}{todo}.")
