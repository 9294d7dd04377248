"""``c360 cdc``: the capture of the shop's changes, which `c360 up cdc` starts."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from c360.settings import Settings

if TYPE_CHECKING:
    from c360.cdc.manage import Capture

app = typer.Typer(no_args_is_help=True, help="Change data capture of the shop: look, begin anew.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("status")
def status(*, as_json: Json = False) -> None:
    """Connector, replication slot and how far it is behind; exit code 1 if no changes flow."""
    from c360.cdc.manage import observe

    seen = observe(Settings())
    _show(seen, as_json=as_json)
    if not seen.healthy:
        raise typer.Exit(1)


@app.command("begin-anew")
def begin_anew(*, as_json: Json = False) -> None:
    """After a lost slot: read all rows again as they are now. Silver infers the deletions."""
    from c360.cdc.manage import begin_anew

    _show(begin_anew(Settings()), as_json=as_json)


def _show(seen: Capture, *, as_json: bool) -> None:
    lag = None if seen.slot is None else seen.slot.lag
    if as_json:
        typer.echo(json.dumps({**asdict(seen), "healthy": seen.healthy, "lag": lag}, indent=2))
        return
    state = seen.connector
    why = f": {state.why}" if state and state.why else ""
    typer.echo(f"connector  {state.connector if state else 'not registered'}{why}")
    typer.echo(f"tasks      {', '.join(state.tasks) if state and state.tasks else 'none'}")
    typer.echo(
        f"slot       {'none' if seen.slot is None else ('read' if seen.slot.active else 'not read')}, {seen.log}"
    )
    typer.echo(f"behind     {'unknown' if lag is None else f'{lag:,} bytes of log'}")
    if seen.misread:
        typer.echo(f"misread    {', '.join(seen.misread)}")
