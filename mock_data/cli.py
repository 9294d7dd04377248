"""The command ``python -m mock_data``: generates a company and says what it made."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from c360.errors import C360Error
from mock_data.company import Generated, generate
from mock_data.truth import OUTCOMES

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder that receives landing/ and truth/.")] = Path(".c360"),
    scale: Annotated[
        float, typer.Option(help="1 = 10K customers, 1K products; in 365 days 100K orders and 1M web events.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 360,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = datetime(2025, 1, 1),  # noqa: DTZ001
    days: Annotated[int, typer.Option(help="Number of days.")] = 365,
    daily_batches: Annotated[
        int | None, typer.Option(help="Last days that land one by one; older ones land with the first. Default: all.")
    ] = None,
    defects: Annotated[bool, typer.Option(help="Add duplicates, late, broken and orphaned records.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Generate a company's daily exports, with a ledger of every defect in them."""
    try:
        made = generate(out, scale, seed, start.date(), days, defects, daily_batches)
    except C360Error as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}:[/red] {error}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    if as_json:
        sys.stdout.write(json.dumps(dict(made.counts), ensure_ascii=False) + "\n")
    else:
        _print(made)


def _print(made: Generated) -> None:
    table = Table("export", "records", *OUTCOMES)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, entity in made.counts.items():
        rejected = sum(entity["rejected"].values())
        numbers = (entity["generated"], entity["accepted"], entity["deduplicated"], rejected)
        table.add_row(name, *(f"{n:,}" for n in numbers))
    console = Console()
    console.print(table)
    if made.changed:
        rate = made.records / max(made.seconds, 1e-9)
        console.print(f"{made.records:,} records in {made.seconds:.1f} s ({rate:,.0f} a second) in {made.landing}")
    else:
        console.print(f"{made.landing} already holds this company: nothing changed")
