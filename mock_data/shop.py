"""The command ``python -m mock_data.shop``: plays the company's shop as transactions, and says what went in."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from c360.errors import C360Error
from c360.settings import Settings
from mock_data.company import company_of
from mock_data.shop_changes import transactions
from mock_data.shop_ledger import ShopLedger
from mock_data.shop_spoil import Spoiler

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path | None, typer.Option(help="New folder for the ledger; default: below the home folder.")] = None,
    light: Annotated[bool, typer.Option("--light", help="Straight to Kafka, without the database.")] = False,
    defects: Annotated[bool, typer.Option("--defects", help="With --light: as on a bad day.")] = False,
    load: Annotated[bool, typer.Option("--load", help="The rows as they are in the end, at once.")] = False,
    scale: Annotated[float, typer.Option(help="As for `python -m mock_data`.")] = 0.1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same transactions.")] = 360,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = datetime(2025, 1, 1),  # noqa: DTZ001
    days: Annotated[int, typer.Option(help="Number of days.")] = 365,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many transactions.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Transactions a second; default: as fast as possible.")
    ] = None,
    as_recorded: Annotated[bool, typer.Option("--as-recorded", help="Keep the moments; else the last is now.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Play a company's shop, transaction by transaction, with a ledger of every committed change of a row."""
    settings = Settings()
    now = datetime.now(UTC)
    folder = out or settings.home / "truth" / "shop" / now.strftime("%Y%m%dT%H%M%S%f")
    began = time.monotonic()
    spoiler = Spoiler(seed) if defects else None
    try:
        if (defects and not light) or (load and light):
            raise C360Error("A database has no defects, and no rows without it", "leave --defects or --load out")
        made = transactions(company_of(scale, seed, start.date(), days), limit, None if as_recorded else now)
        ledger = ShopLedger(folder)
        try:
            if light:
                from c360.cdc.manage import install_topics
                from mock_data.shop_light import send

                install_topics(settings)
                send(made, settings, ledger, rate, spoiler)
            else:
                from c360.cdc.manage import install_database
                from mock_data.shop_database import ShopWriter

                install_database(settings)
                writer = ShopWriter(settings)
                if load:
                    writer.load(made, ledger)
                else:
                    writer.write(made, ledger, rate)
        finally:
            counts = ledger.close(
                path="light" if light else "database", defects=dict(spoiler.counts if spoiler else ())
            )
    except C360Error as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}:[/red] {error}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    seconds = time.monotonic() - began
    if as_json:
        sys.stdout.write(json.dumps({"ledger": str(folder), "seconds": seconds, **counts}) + "\n")
    else:
        _print(counts, seconds, folder)


def _print(counts: dict[str, Any], seconds: float, folder: Path) -> None:
    table = Table("table", "inserted", "changed", "deleted")
    for name, by_op in counts["tables"].items():
        table.add_row(name, *(f"{by_op.get(op, 0):,}" for op in "cud"))
    console = Console()
    console.print(table)
    pace = counts["changes"] / max(seconds, 1e-9)
    console.print(f"{counts['changes']:,} changes in {seconds:.1f} s ({pace:,.0f} a second); ledger in {folder}")


if __name__ == "__main__":
    app(prog_name="python -m mock_data.shop")
