"""What a person sees after the demonstration: tables, checks, refusals against the truth ledger, one customer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from c360.contracts import load_contracts
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360_assets.demo.run import Outcome
from c360_assets.pipeline.silver import counts
from c360_assets.specs import is_conformed


def show(settings: Settings, outcome: Outcome, console: Console, *, seconds: float, with_ui: bool) -> bool:
    """Print the report; True if the run succeeded, every check passed and the ledger balances."""
    lake = Lakehouse(settings)
    _tables(lake, outcome, console)
    balanced = _ledger(lake, settings.home / "truth" / "counts.json", console)
    _customer(lake, console)
    for step, message in outcome.failures.items():
        console.print(f"[red]{step.replace('__', '.')}: {message.strip()}[/red]", highlight=False)
    failed = [f"{asset} {check}" for (asset, check), ok in outcome.checks.items() if not ok]
    passed = outcome.succeeded and not failed and balanced
    colour = "green" if passed else "red"
    console.print(
        f"[{colour}]{len(outcome.checks) - len(failed)} of {len(outcome.checks)} checks passed[/{colour}]"
        f" in {seconds:.0f} s" + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    if with_ui:
        address = f"http://127.0.0.1:{settings.dagster_port}"
        console.print(f"Dagster UI: {address}/asset-groups   this run: {address}/runs/{outcome.run_id}")
        console.print("`make down` stops everything.")
    return passed


def _tables(lake: Lakehouse, outcome: Outcome, console: Console) -> None:
    table = Table(title="Tables of the lakehouse")
    for name, justify in (("layer", "left"), ("table", "left"), ("rows", "right"), ("checks", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, contract in sorted(load_contracts().items(), key=lambda item: ("bsg".index(item[1].layer[0]), item[0])):
        results = [ok for (asset, _), ok in outcome.checks.items() if asset == name.replace(".", "/")]
        verdict = "" if not results else "[green]passed[/green]" if all(results) else "[red]FAILED[/red]"
        rows = f"{lake.row_count(name):,}" if lake.exists(name) else "-"
        table.add_row(contract.layer, contract.table, rows, verdict)
    console.print(table)


def _ledger(lake: Lakehouse, truth: Path, console: Console) -> bool:
    """What silver did with every generated record, beside what the generator says it should have done."""
    stated: dict[str, Any] = json.loads(truth.read_text()) if truth.exists() else {}
    table = Table(title="Records: generated = accepted + repeated + refused")
    for column in ("table", "generated", "accepted", "repeated", "refused", "truth ledger"):
        table.add_column(column, justify="left" if column in ("table", "truth ledger") else "right")
    refused: Counter[str] = Counter()
    expected_refused: Counter[str] = Counter()
    balanced = True
    for name, contract in sorted(load_contracts().items()):
        if not is_conformed(contract) or not lake.exists(name):
            continue
        found = counts(lake, name)
        reasons = _reasons(lake, name)
        refused.update(reasons)
        agrees = found["received"] == found["accepted"] + found["deduplicated"] + found["rejected"]
        expected = stated.get(contract.table)
        if expected is not None:
            expected_refused.update(expected["rejected"])
            wanted = tuple(expected[key] for key in ("generated", "accepted", "deduplicated", "rejected"))
            agrees = agrees and wanted == (found["received"], found["accepted"], found["deduplicated"], reasons)
        balanced = balanced and agrees
        verdict = "[red]DIFFERS[/red]" if not agrees else "-" if expected is None else "[green]agrees[/green]"
        numbers = (f"{found[key]:,}" for key in ("received", "accepted", "deduplicated", "rejected"))
        table.add_row(contract.table, *numbers, verdict)
    console.print(table)
    by_reason = Table("reason", "refused", "truth ledger", title="Refused records by reason")
    for reason, count in sorted(refused.items()):
        by_reason.add_row(reason, f"{count:,}", f"{expected_refused[reason]:,}" if stated else "-")
    console.print(by_reason)
    return balanced


def _reasons(lake: Lakehouse, name: str) -> dict[str, int]:
    refused = lake.read("silver.rejected", columns=["source_table", "reason"], where=f"source_table = '{name}'")
    return dict(pl.DataFrame(refused).group_by("reason").len().rows())


def _customer(lake: Lakehouse, console: Console) -> None:
    if not lake.exists("gold.customer_360") or not lake.row_count("gold.customer_360"):
        return
    spend = lake.read("gold.customer_360", columns=["customer_id", "revenue_amount"])
    best = pl.DataFrame(spend).sort("revenue_amount", "customer_id", descending=[True, False]).item(0, "customer_id")
    [row] = lake.read("gold.customer_360", where=f"customer_id = '{best}'").to_pylist()
    lines = [f"[bold]{name}[/bold]: {value}" for name, value in row.items() if value is not None]
    half = (len(lines) + 1) // 2
    grid = Table.grid(padding=(0, 4))
    for left, right in zip(lines[:half], [*lines[half:], ""], strict=False):
        grid.add_row(left, right)
    console.print(Panel(grid, title=f"Customer {best}, the most valuable one"))
