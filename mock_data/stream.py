"""The command ``python -m mock_data.stream``: plays a company into Kafka and says what went in."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from c360.errors import C360Error
from c360.events.config import ProducerConfig
from c360.events.crypto import key_ring
from c360.events.producer import EventProducer
from c360.events.registry import RegistryClient
from c360.settings import Settings
from mock_data.company import company_of
from mock_data.play import Played, play
from mock_data.play_source import source

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path | None, typer.Option(help="New folder for the ledger; default: below the home folder.")] = None,
    scale: Annotated[float, typer.Option(help="As for `python -m mock_data`.")] = 0.1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 360,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = datetime(2025, 1, 1),  # noqa: DTZ001
    days: Annotated[int, typer.Option(help="Number of days.")] = 365,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many clean events.")] = None,
    rate: Annotated[float | None, typer.Option(help="Events a second; default: as fast as possible.")] = None,
    as_recorded: Annotated[bool, typer.Option("--as-recorded", help="Keep the moments; else the last is now.")] = False,
    span: Annotated[float, typer.Option(min=0.01, max=6, help="Days that the play lasts at most, up to now.")] = 2.0,
    defects: Annotated[bool, typer.Option(help="Add repeated, contradicting, late and broken messages.")] = True,
    registry: Annotated[bool, typer.Option(help="Have the schema registry admit the schemas.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Play a company's web events and transactions into Kafka, with a ledger of every message."""
    settings = Settings()
    now = datetime.now(UTC)
    folder = out or settings.home / "truth" / "stream" / now.strftime("%Y%m%dT%H%M%S%f")
    try:
        config = ProducerConfig(settings.kafka_servers, "throughput" if rate is None else "reliability")
        guard = RegistryClient(settings.registry_address) if registry else None
        of = source(company_of(scale, seed, start.date(), days))
        with EventProducer(config, guard, key_ring(settings)) as producer:
            moved: dict[str, Any] = {}
            if not as_recorded:
                # Other events than those of an earlier play into this home, and none before them.
                length = min(timedelta(days=span), now - _last_until(folder.parent, now - timedelta(days=span)))
                moved = {"until": now, "span": length, "renewed": now.isoformat()}
            made = play(of, producer, folder, seed=seed, rate=rate, limit=limit, defects=defects, **moved)
    except C360Error as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}:[/red] {error}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    if as_json:
        sys.stdout.write(json.dumps({"ledger": str(made.folder), "seconds": made.seconds, **made.counts}) + "\n")
    else:
        _print(made)
    if made.errors:
        raise typer.Exit(1)


def _last_until(folder: Path, otherwise: datetime) -> datetime:
    """When the last play ended whose ledger is in this folder."""
    ends = [json.loads(path.read_text(encoding="utf-8"))["until"] for path in folder.glob("*/counts.json")]
    return max(map(datetime.fromisoformat, ends), default=otherwise)


def _print(made: Played) -> None:
    outcomes = ("sent", "accepted", "deduplicated", "rejected")
    table = Table("topic", *outcomes)
    for topic, counts in made.counts["topics"].items():
        table.add_row(topic, *(f"{counts.get(name, 0):,}" for name in outcomes))
    console = Console()
    console.print(table)
    pace = made.sent / max(made.seconds, 1e-9)
    console.print(f"{made.sent:,} messages in {made.seconds:.1f} s ({pace:,.0f} a second); ledger in {made.folder}")
    for name, count in made.errors.items():
        console.print(f"[red]{count:,} not published: {name}[/red]")


if __name__ == "__main__":
    app(prog_name="python -m mock_data.stream")
