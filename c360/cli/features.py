"""``c360 features``: the online feature store, which `c360 up features` starts."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from typing import Annotated

import typer

from c360.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The online feature store: look, read a row.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("status")
def status(*, as_json: Json = False) -> None:
    """The features, their topics and what of them is not stored yet; exit code 1 unless all is live."""
    from c360.features.status import observe

    seen = observe(Settings(), threading.Event())
    if as_json:
        typer.echo(json.dumps(asdict(seen), indent=2))
    else:
        typer.echo(f"store   {seen.address}: {seen.state.replace('_', ' ')}, {seen.unread:,} unread")
        for table in seen.tables:
            said = f"{table.messages:,} messages, {table.unread:,} unread" if table.partitions else "no topic yet"
            typer.echo(f"{table.feature}: {table.topic} → {table.table}: {said}")
    if seen.state != "live":
        raise typer.Exit(1)


@app.command("get")
def get(
    feature: Annotated[str, typer.Argument(help="The feature, such as customer_segments.")],
    key: Annotated[str, typer.Argument(help="Key of the entity, such as C0000001.")],
) -> None:
    """The newest row of a key, as JSON; exit code 1 if there is none."""
    from c360.features.errors import StoreError
    from c360.features.reading import FeatureReader

    reader = FeatureReader(Settings())
    name = feature.replace("-", "_")
    if name not in reader.tables:
        raise StoreError(f"There is no feature '{feature}'", f"use one of {', '.join(reader.tables)}")
    try:
        rows = reader.rows(name, [key])
    except KeyError:
        rows = []
    finally:
        reader.close()
    if not rows:
        typer.echo(f"There is no row of '{key}' in {name}.", err=True)
        raise typer.Exit(1)
    typer.echo(json.dumps(rows[0], indent=2))
