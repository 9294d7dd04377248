"""``c360 topics``: Kafka's topics as their contracts want them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c360.cli.output import print_rows
from c360.contracts.topic import load_topics
from c360.contracts.topic_check import check_topics
from c360.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.events.admin import KafkaAdminManager
    from c360.events.topics import Step

NO_TOPICS = "The cluster has no topics yet."
app = typer.Typer(no_args_is_help=True, help="Kafka's topics, as their contracts want them.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Brokers = Annotated[int, typer.Option(min=1, help="Brokers to size the topics for.")]


@app.command("list")
def list_topics(*, brokers: Brokers = 1, as_json: Json = False) -> None:
    """All topics with a contract, and the size that they ask for."""
    from c360.events.topics import TopicConfig

    rows: list[dict[str, Any]] = []
    for contract in load_topics().values():
        config = TopicConfig.of(contract, brokers)
        rows.append({
            "topic": contract.name,
            "version": contract.version,
            "partitions": config.partitions,
            "replicas": config.replication,
            "kept_days": contract.retention_days,
            "key": list(contract.key),
            "encrypted": list(contract.encrypted),
            "event_types": list(contract.event_types),
        })  # fmt: skip
    if not as_json:
        rows = [{**row, "key": " or ".join(row["key"]), "event_types": len(row["event_types"])} for row in rows]
        rows = [{name: value for name, value in row.items() if name != "encrypted"} for row in rows]
    print_rows(rows, as_json=as_json, empty=NO_TOPICS)


@app.command("describe")
def describe(
    names: Annotated[list[str] | None, typer.Argument(help="Topics; all of the cluster when none is named.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Topics as they are in the cluster; exit code 1 if a named one does not exist."""
    found = _admin().describe(*(names or ()))
    if as_json:
        typer.echo(json.dumps([asdict(topic) | {"configs": dict(topic.configs)} for topic in found.values()], indent=2))
    else:
        shown = ("retention.ms", "min.insync.replicas", "compression.type", "cleanup.policy", "max.message.bytes")
        print_rows([
            {"topic": t.name, "partitions": t.partitions, "replicas": t.replication}
            | {name: t.configs.get(name, "-") for name in shown}
            for t in found.values()
        ], as_json=False, empty=NO_TOPICS)  # fmt: skip
    missing = sorted(set(names or ()) - set(found))
    if missing:
        typer.echo(f"There is no topic {', '.join(missing)} in the cluster", err=True)
        raise typer.Exit(1)


@app.command("plan")
def plan(*, as_json: Json = False) -> None:
    """Steps that would make the cluster's topics what the contracts want; changes nothing."""
    _show(_admin().plan(load_topics().values()), as_json=as_json)


@app.command("apply")
def apply(
    *,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Also take the steps that let go of messages or copies.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create and alter topics as the plan says. Nothing is deleted; nothing shrinks without --allow-shrink."""
    admin = _admin()
    steps = admin.plan(load_topics().values())
    done = admin.apply(steps, allow_shrink=allow_shrink)
    if as_json:
        typer.echo(json.dumps({"done": _rows(done), "left": _rows([s for s in steps if s not in done])}, indent=2))
        return
    _show(done, as_json=False, empty="Nothing to do: the topics are as their contracts want them.")
    for step in steps:
        if step.kind == "held" and step not in done:
            hint = " (--allow-shrink)" if step.allowed else ""
            typer.echo(f"left as it is: {step.topic}: {step.text}{hint}")


@app.command("check")
def check(
    ref: Annotated[
        str | None,
        typer.Option(envvar="C360_CONTRACTS_REF", help="Git commit to compare with, if not the last version."),
    ] = None,
    *,
    registry: Annotated[
        bool, typer.Option("--registry", help="Also ask the schema registry; registers nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that no contract of a topic breaks readers of the messages there are; exit code 1 if one does."""
    seen = check_topics(ref)
    problems = list(seen.problems)
    if registry:
        problems += _refusals()
    if as_json:
        typer.echo(json.dumps({**asdict(seen), "problems": problems}, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            typer.echo(problem, err=True)
        compared = f"{seen.compared} compared with {seen.ref}"
        typer.echo(f"topics: {seen.contracts} valid, {compared}, {len(problems)} with a problem")
    if problems:
        raise typer.Exit(1)


def _refusals() -> list[str]:
    from c360.events.errors import SchemaRefused
    from c360.events.registry import RegistryClient
    from c360.events.schema import load_schemas

    client, found = RegistryClient(Settings().registry_address), []
    for schema in {schema.topic: schema for schema in load_schemas().values()}.values():
        try:
            client.check(schema)
        except SchemaRefused as refusal:
            found.append(str(refusal))
    return found


def _admin() -> KafkaAdminManager:
    from c360.events.admin import KafkaAdminManager

    return KafkaAdminManager(Settings().kafka_servers)


def _rows(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [{"topic": s.topic, "step": s.kind, "what": s.text, "configs": dict(s.configs)} for s in steps]


def _show(steps: Sequence[Step], *, as_json: bool, empty: str = "The topics are as their contracts want them.") -> None:
    rows = _rows(steps)
    if not as_json:
        rows = [{key: value for key, value in row.items() if key != "configs"} for row in rows]
    print_rows(rows, as_json=as_json, empty=empty)
