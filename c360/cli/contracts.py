"""``c360 contracts``: read and check the data contracts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from c360.cdc.contracts import shop_contracts
from c360.contracts.check import check_contracts
from c360.contracts.loader import get_contract, load_contracts, load_stream_contracts

if TYPE_CHECKING:
    from c360.contracts.model import Column, Contract

app = typer.Typer(no_args_is_help=True, help="Read and check the data contracts.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


@app.command("list")
def list_contracts(as_json: AsJson = False) -> None:
    """All tables with a contract."""
    contracts = [*load_contracts().values(), *load_stream_contracts().values(), *shop_contracts().values()]
    if as_json:
        keys = ("name", "version", "domain", "owner", "description", "primary_key", "retention_days", "freshness_hours")
        typer.echo(json.dumps([{key: getattr(contract, key) for key in keys} for contract in contracts], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("table", min_width=max(len(c.name) for c in contracts))
    for heading in ("version", "domain", "key", "columns", "kept for"):
        table.add_column(heading)
    for c in contracts:
        kept = f"{c.retention_days} days" if c.retention_days else "ever"
        table.add_row(c.name, c.version, c.domain, escape(", ".join(c.primary_key)), str(len(c.columns)), kept)
    Console().print(table)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Table, such as silver.orders.")],
    as_json: AsJson = False,
) -> None:
    """One contract with its columns and rules."""
    contract = get_contract(name)
    if as_json:
        typer.echo(json.dumps(asdict(contract), indent=2, ensure_ascii=False))
        return
    console = Console()
    console.print(f"[bold]{contract.name}[/bold] {contract.version}, {contract.domain}, owned by {contract.owner}")
    console.print(escape(f"{contract.description} {contract.granularity}"))
    for label, value in _facts(contract):
        console.print(escape(f"{label}: {value}"))
    table = Table(box=None, pad_edge=False)
    table.add_column("column", min_width=max(map(len, contract.names)))
    for heading in ("type", "", "personal", "rules", "description"):
        table.add_column(heading, overflow="fold")
    for column in contract.columns:
        need = "key" if column.name in contract.primary_key else "required" if column.required else ""
        personal = "" if column.classification == "none" else column.classification
        cells = (column.name, column.type, need, personal, _rules(column), column.description)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    for rule in contract.rules:
        console.print(escape(f"rule ({rule.severity}) {rule.name or rule.metric}: {rule.description}"))


@app.command("check")
def check(
    ref: Annotated[
        str | None,
        typer.Option(envvar="C360_CONTRACTS_REF", help="Git commit to compare with, if not the last version."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that all contracts are valid and that none breaks its readers without a new major version."""
    seen = check_contracts(ref)
    if as_json:
        typer.echo(json.dumps(asdict(seen), indent=2, ensure_ascii=False))
    else:
        for problem in seen.problems:
            typer.echo(problem, err=True)
        compared = f"{seen.compared} compared with {seen.ref}"
        typer.echo(f"contracts: {seen.contracts} valid, {compared}, {len(seen.problems)} with a problem")
    if seen.problems:
        raise typer.Exit(1)


@app.command("dictionary")
def dictionary(
    out: Annotated[Path | None, typer.Option(help="File to write; default: print.")] = None,
) -> None:
    """What each feature is, who keeps it and how fresh it is, as Markdown; docs/features-dictionary.md is made so."""
    from c360.streams.dictionary import feature_dictionary

    page = feature_dictionary()
    if out is None:
        typer.echo(page, nl=False)
    else:
        out.write_text(page, encoding="utf-8")


def _facts(contract: Contract) -> list[tuple[str, str]]:
    source = contract.source
    facts = {
        "read from": f"{source.system}/{source.entity} ({source.format})" if source else ", ".join(contract.upstream),
        "partitioned by": ", ".join(f"{part.transform}({part.column})" for part in contract.partitioning),
        "kept for": f"{contract.retention_days} days" if contract.retention_days else "",
        "fresh within": f"{contract.freshness_hours} hours" if contract.freshness_hours else "",
    }
    return [(label, value) for label, value in facts.items() if value]


def _rules(column: Column) -> str:
    parts = [
        f"≥ {column.minimum}" if column.minimum is not None else "",
        f"≤ {column.maximum}" if column.maximum is not None else "",
        f"at most {column.max_length} characters" if column.max_length is not None else "",
        f"matches {column.pattern}" if column.pattern else "",
        f"one of {', '.join(column.enum)}" if column.enum else "",
        f"→ {column.references}" if column.references else "",
        f"by {', '.join(column.standardise)}" if column.standardise else "",
    ]
    return "; ".join(part for part in parts if part)
