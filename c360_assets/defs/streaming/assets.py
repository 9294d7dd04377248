"""Topics, streams and the tables that streams write, as external assets: Dagster shows them, Flink makes them."""

from __future__ import annotations

from typing import Any

import dagster as dg

from c360.contracts.topic import load_topics
from c360.streams.job import StreamJob, load_jobs
from c360_assets.specs import asset_key, is_streamed, known_contract, owner, pii_level, table_schema


def stream_key(name: str) -> dg.AssetKey:
    """The asset that stands for a running job, and carries its checks."""
    return dg.AssetKey(["streams", name])


def topic_key(name: str) -> dg.AssetKey:
    """``raw-events`` → ``AssetKey(["topics", "raw_events"])``; Dagster's keys know no dots or dashes in selections."""
    return dg.AssetKey(["topics", name.replace("-", "_").replace(".", "_")])


def topic_spec(name: str) -> dg.AssetSpec:
    """A Kafka topic that a stream reads."""
    contract = load_topics().get(name)
    described: dict[str, Any] = {}
    if contract is not None:
        described = {"description": contract.description, "owners": [f"team:{contract.owner}"]}
    metadata = {"topic": name, "contract_version": contract.version if contract else "none"}
    return dg.AssetSpec(topic_key(name), group_name="topics", kinds={"kafka"}, metadata=metadata, **described)


def stream_spec(job: StreamJob) -> dg.AssetSpec:
    """A long-running job, between the topics that it reads and the tables that it appends to."""
    return dg.AssetSpec(
        stream_key(job.name),
        deps=[topic_key(topic) for topic in job.inputs],
        description=job.description,
        group_name="streams",
        kinds={"flink"},
        metadata={
            "parallelism": job.parallelism,
            "checkpoint_seconds": job.checkpoint_seconds,
            "state_ttl_hours": job.state_ttl_hours,
            "wanted": job.wanted,
        },
    )


def table_spec(name: str, jobs: list[StreamJob]) -> dg.AssetSpec:
    """A table that streams append to: described by its contract where it has one."""
    topics = sorted({topic for job in jobs for topic in job.inputs})
    deps = [*(stream_key(job.name) for job in jobs), *(topic_key(topic) for topic in topics)]
    layer, contract = name.split(".", maxsplit=1)[0], known_contract(name)
    if contract is None:
        return dg.AssetSpec(
            asset_key(name),
            deps=deps,
            group_name=layer,
            kinds={"flink", "iceberg"},
            tags={"layer": layer},
            metadata={"dagster/table_name": f"lake.{name}"},
        )
    upstream = [asset_key(table) for table in contract.upstream]
    return dg.AssetSpec(
        asset_key(name),
        deps=[*deps, *(key for key in upstream if key not in deps)],
        description=contract.description,
        group_name=layer,
        owners=[owner(contract)],
        kinds={"flink", "iceberg"},
        tags={"layer": layer, "domain": contract.domain, "pii": pii_level(contract)},
        code_version=contract.version,
        metadata={
            "dagster/column_schema": table_schema(contract),
            "dagster/table_name": f"lake.{name}",
            "contract_version": contract.version,
            "primary_key": ", ".join(contract.primary_key),
            "retention_days": contract.retention_days or 0,
        },
    )


@dg.definitions
def streaming_assets() -> dg.Definitions:
    """External assets of every stream; a table that batch runs write too keeps the asset that it has."""
    jobs = list(load_jobs().values())
    tables = sorted({table for job in jobs for table in job.outputs if is_streamed(table)})
    topics = sorted({topic for job in jobs for topic in job.inputs})
    return dg.Definitions(
        assets=[
            *(topic_spec(topic) for topic in topics),
            *(stream_spec(job) for job in jobs),
            *(table_spec(table, [job for job in jobs if table in job.outputs]) for table in tables),
        ]
    )
