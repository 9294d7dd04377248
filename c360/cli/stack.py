"""``c360 up``, ``down``, ``status`` and ``jars``: the engines of this folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c360.settings import Settings

if TYPE_CHECKING:
    from c360.engines.stack import EngineStatus

jars_app = typer.Typer(help="Jars that the engines need: pinned in jars.lock, cached per user.", no_args_is_help=True)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="spark, dagster, kafka, registry, flink, postgres, connect, dynamodb, sink, …;"
        " cdc: kafka, postgres, connect and the connector; features: kafka, dynamodb and the sink"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the ``c360`` command."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command("fetch")(fetch_engines)
    app.add_typer(jars_app, name="jars")


def up(engines: Names = None, *, as_json: Json = False) -> None:
    """Start engines in the background (default: spark dagster); heals those that died. They run until `c360 down`."""
    from c360.engines.stack import DEFAULT, Stack

    settings, chosen = Settings(), engines or DEFAULT
    stack = Stack(settings)
    # What was there before is left as it is: there is still the connector, or the topics, to see to.
    stack.up(*chosen, exist_ok=bool({"cdc", "features"} & set(chosen)))
    if "features" in chosen:
        from c360.features.manage import install as install_features

        install_features(settings)
    if "cdc" in chosen:
        from c360.cdc.manage import install

        install(settings)
    _show(stack.status(), as_json=as_json)


def down(engines: Names = None, *, as_json: Json = False) -> None:
    """End the engines that this folder's stack has started, and nothing else."""
    from c360.engines.stack import Stack

    ended = Stack(Settings()).down(*(engines or ()))
    if as_json:
        typer.echo(json.dumps(ended))
    else:
        typer.echo(f"Ended: {', '.join(ended)}" if ended else "Nothing was running.")


def status(*, as_json: Json = False) -> None:
    """Show the engines of this folder; exit code 1 when one of them is dead or silent."""
    from c360.engines.stack import Stack

    found = Stack(Settings()).status()
    _show(found, as_json=as_json)
    if any(engine.state in {"dead", "silent"} for engine in found):
        raise typer.Exit(1)


def fetch_engines(engines: Names = None) -> None:
    """Bring what streaming engines need (default: all of them; 700 MB) ahead of their first start."""
    from c360.engines import archives, flink_home, jars, loopback
    from c360.engines.flink_conf import jar_groups
    from c360.engines.stack import STREAMING
    from c360.errors import EngineError

    known = (*STREAMING, "connect", "dynamodb")
    settings, chosen = Settings(), tuple(engines or known)
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise EngineError(f"There is nothing to fetch for '{unknown[0]}'", f"name one of {', '.join(known)}")
    if "kafka" in chosen:
        jars.fetch(["kafka"], settings)
    if "registry" in chosen:
        archives.unpack("registry", settings)
    if "connect" in chosen:
        jars.fetch(["connect"], settings)
        archives.unpack("debezium", settings)
    if "dynamodb" in chosen:
        jars.fetch(["dynamodb"], settings)
        loopback.build(settings)
    if "flink" in chosen:
        jars.fetch(jar_groups(settings), settings)
        flink_home.install()
    typer.echo(f"Ready to start: {', '.join(chosen)}")


@jars_app.command("lock")
def lock() -> None:
    """Resolve jars.toml and rewrite jars.lock with the hash of every jar."""
    from c360.engines import jars

    for jar in jars.lock(Settings()):
        typer.echo(f"{jar.digest.sha256}  {jar.coordinates}")


@jars_app.command("fetch")
def fetch(
    groups: Annotated[list[str] | None, typer.Argument(help="groups of jars.toml (default: this profile's)")] = None,
) -> None:
    """Download and verify jars into the cache."""
    from c360.engines import jars
    from c360.engines.spark_conf import jar_groups

    settings = Settings()
    for path in jars.fetch(groups or jar_groups(settings), settings):
        typer.echo(str(path))


@jars_app.command("archive")
def archive() -> None:
    """Archive Spark's classes once, so that each start takes less than half of the CPU time (about 220 MB of cache)."""
    from c360.engines import class_archive

    typer.echo(str(class_archive.build(Settings())))


def _show(engines: list[EngineStatus], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(engine) for engine in engines], indent=2))
        return
    if not engines:
        typer.echo("Nothing was started here. Start with: c360 up")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("engine", "state", "pid", "address", "memory", "up", box=None, pad_edge=False)
    for engine in engines:
        colour = {"running": "green", "starting": "yellow"}.get(engine.state, "red")
        table.add_row(
            engine.name,
            f"[{colour}]{engine.state}[/]",
            str(engine.pid),
            engine.address or "-",
            f"{engine.memory / 2**20:.0f} MiB",
            f"{engine.uptime:.0f} s",
        )
    Console().print(table)
    typer.echo(f"Logs: {Path(engines[0].log).parent}")
