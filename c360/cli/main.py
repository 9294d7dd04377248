"""The ``c360`` command: each area contributes its sub-commands; refusals print as one sentence."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

import typer

from c360.errors import C360Error

app = typer.Typer(
    help="Customer 360 lakehouse: engines, contracts, tables, topics, streams, changes, features, dead letters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _register() -> None:
    from c360.cli import cdc, contracts, dlq, features, land, stack, streams, tables, topics

    stack.register(app)
    land.register(app)
    app.add_typer(contracts.app, name="contracts")
    app.add_typer(tables.app, name="tables")
    app.add_typer(topics.app, name="topics")
    app.add_typer(dlq.app, name="dlq")
    app.add_typer(streams.app, name="streams")
    app.add_typer(cdc.app, name="cdc")
    app.add_typer(features.app, name="features")
    for name, commands in _of_other_rooms():
        app.add_typer(commands, name=name)


def _of_other_rooms() -> list[tuple[str, typer.Typer]]:
    """Commands of packages that stand on the kernel: it does not import them, they name themselves to it."""
    try:
        found = distribution("c360").entry_points.select(group="c360.commands")
    except PackageNotFoundError:
        return []
    return [(entry.name, entry.load()) for entry in found]


def main() -> None:
    """Entry point: exit code 1 and the mend on stderr for a refusal."""
    _register()
    try:
        app()
    except C360Error as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        sys.exit(1)
