"""The ``c360`` command: each area contributes its sub-commands; refusals print as one sentence."""

from __future__ import annotations

import sys

import typer

from c360.errors import C360Error

app = typer.Typer(
    help="Customer 360 lakehouse: engines, contracts, tables, topics, streams, dead letters and landing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _register() -> None:
    from c360.cli import contracts, dlq, land, stack, streams, tables, topics

    stack.register(app)
    land.register(app)
    app.add_typer(contracts.app, name="contracts")
    app.add_typer(tables.app, name="tables")
    app.add_typer(topics.app, name="topics")
    app.add_typer(dlq.app, name="dlq")
    app.add_typer(streams.app, name="streams")


def main() -> None:
    """Entry point: exit code 1 and the mend on stderr for a refusal."""
    _register()
    try:
        app()
    except C360Error as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        sys.exit(1)
