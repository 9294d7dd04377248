"""The SQL of a streaming job: the statements of its family and its own, filled in from the contracts.

A job of events is all in its family. A job of features has a source in ``families/features`` and its own SQL, which
defines a view ``<table>_rows`` for each of its tables; what goes into tables and topics follows from the contracts.
"""

from __future__ import annotations

import json
import re
from string import Template
from typing import TYPE_CHECKING, Any

from c360.contracts.topic_columns import column_name
from c360.contracts.vocabulary import decimal_of
from c360.engines.flink_conf import catalog_ddl, quoted
from c360.engines.flink_home import project
from c360.errors import StreamError
from c360.models.churn import current
from c360.streams.functions import functions_jar
from c360.streams.sql_features import feature_statements

if TYPE_CHECKING:
    from pathlib import Path

    from c360.contracts.topic import TopicContract
    from c360.settings import Settings
    from c360.streams.job import StreamJob

FUNCTIONS = {"parse_event": "ParseEvent", "standing": "Standing", "window_of": "WindowOf"}
FEATURE_FUNCTIONS = {
    "parse_event": "ParseEvent",
    "standing": "Standing",
    "read_shop_change": "ReadShopChange",
    "change_time": "ChangeTime",
    "moment_text": "MomentText",
    "order_facts": "OrderFacts",
}
"""SQL name → class in ``streaming_jobs/udf``."""

_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


def statements(job: StreamJob, settings: Settings) -> list[str]:
    """What to run in one session of the SQL Gateway, in order; the last statement starts the job. Holds secrets.

    Raises:
        StreamError: the SQL of the job is incomplete; EngineError: the functions cannot be built; ModelError: there is
            no model yet that the job applies.
    """
    jar = functions_jar(settings).as_uri()
    known = {} if job.family == "changes" else FUNCTIONS if job.events else {**FEATURE_FUNCTIONS, **job.functions}
    functions = [
        f"CREATE TEMPORARY FUNCTION {name} AS 'c360.{cls}' USING JAR {quoted(jar)}" for name, cls in known.items()
    ]
    definitions, inserts = _body(job, settings)
    together = "EXECUTE STATEMENT SET BEGIN\n" + ";\n".join(inserts) + ";\nEND"
    return [catalog_ddl(settings), *_options(job), *functions, *definitions, together]


def _options(job: StreamJob) -> list[str]:
    chosen = {
        "pipeline.name": job.name,
        "parallelism.default": job.parallelism,
        "execution.checkpointing.interval": f"{job.checkpoint_seconds * 1000:.0f} ms",
        "table.local-time-zone": "UTC",
        "table.exec.state.ttl": f"{job.state_ttl_hours * 3600:.0f} s",
        # An idle partition would hold back the windows of all others. Features do not mind a watermark that ran ahead.
        "table.exec.source.idle-timeout": "30 s" if job.events else "1 s",
        # One parse and one scan for all sinks; without object reuse each step would copy the message, and parse again.
        "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
        "pipeline.object-reuse": "true",
        # Event ids are random: without these most reads of RocksDB look into files that do not hold the id.
        "state.backend.rocksdb.use-bloom-filter": "true",
        "state.backend.rocksdb.memory.partitioned-index-filters": "true",
    }
    return [f"SET {quoted(key)} = {quoted(str(value))}" for key, value in chosen.items()]


def _paths(job: StreamJob) -> list[Path]:
    family = project() / "families" / job.family
    if job.family == "features":
        return [family / f"{job.source}.sql", *sorted(job.folder.glob("*.sql"))]
    return sorted(family.glob("*.sql"))


def _body(job: StreamJob, settings: Settings) -> tuple[list[str], list[str]]:
    own = _values(job, settings) if job.events else _own_values(job, settings)
    values = {"from_kafka": _from_kafka(job, settings), **own}
    found: list[str] = []
    for path in _paths(job):
        try:
            text = Template(_COMMENT.sub("", path.read_text(encoding="utf-8"))).substitute(values)
        except (KeyError, ValueError) as error:
            raise StreamError(f"{path} holds an unknown placeholder ({error})", "correct it") from None
        found += [part.strip() for part in text.split(";\n") if part.strip()]
    if job.family == "features":
        found = feature_statements(job, settings, found)
    inserts = [part for part in found if part.startswith("INSERT ")]
    return [part for part in found if not part.startswith("INSERT ")], inserts


def _from_kafka(job: StreamJob, settings: Settings) -> str:
    """Options of every source: all that is committed in the job's topics, from the first or from its state on."""
    options = {
        "connector": "kafka",
        "topic": ";".join(job.inputs),
        "properties.bootstrap.servers": settings.kafka_servers,
        "properties.group.id": f"c360-{job.name}",
        "properties.isolation.level": "read_committed",
        "scan.startup.mode": "earliest-offset",
    }
    return ",\n  ".join(f"{quoted(key)} = {quoted(value)}" for key, value in options.items())


def _values(job: StreamJob, settings: Settings) -> dict[str, str]:
    topic = job.topic
    columns = [f"`{column_name(field.name)}`" for field in topic.fields]
    return {
        "topic": quoted(topic.name),
        "contract": quoted(_contract(topic)),
        "contract_version": quoted(topic.version),
        "brokers": quoted(settings.kafka_servers),
        "group": quoted(f"c360-{job.name}"),
        "transactional_id": quoted(f"c360-{job.name}-dlq"),
        "lateness": _interval(topic.lateness),
        "window": _interval(job.window_seconds),
        "window_seconds": str(job.window_seconds),
        "bronze": job.bronze.table,
        "silver": job.silver.table,
        "event_columns": ", ".join(f"event.{column} AS {column}" for column in columns),
        "silver_columns": ", ".join(columns),
        "measure": job.measure,
    }


def _own_values(job: StreamJob, settings: Settings) -> dict[str, str]:
    """What some jobs of features need: the contract of events, or the current model."""
    values = {}
    if job.source == "events":
        values = {"contract": quoted(_contract(job.topic)), "lateness": _interval(job.topic.lateness)}
    if job.model:
        model = current(settings.home)
        values |= {"model": quoted(model.text()), "model_version": quoted(model.version)}
    return values


def _interval(seconds: int) -> str:
    """A Flink SQL interval; a plain number of seconds may have two digits only."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"INTERVAL '{days} {hours:02}:{minutes:02}:{rest:02}' DAY TO SECOND"


def _contract(topic: TopicContract) -> str:
    """The contract as ``ParseEvent`` reads it."""
    fields = []
    for field in topic.fields:
        decimal = decimal_of(field.type)
        item: dict[str, Any] = {
            "path": field.name,
            "column": column_name(field.name),
            "type": "decimal" if decimal else field.type,
            "required": field.required,
            "sealed": field.name in topic.encrypted,
            "max_length": field.max_length,
            "minimum": None if field.minimum is None else float(field.minimum),
            "maximum": None if field.maximum is None else float(field.maximum),
            "pattern": field.pattern,
            "allowed": list(field.enum) or None,
        }
        if decimal:
            item |= {"precision": decimal[0], "scale": decimal[1]}
        fields.append({key: value for key, value in item.items() if value not in (None, False)})
    document = {
        "fields": fields,
        "clock_skew_ms": topic.clock_skew * 1000,
        "max_age_ms": topic.max_age_days * 86_400_000,
    }
    return json.dumps(document, separators=(",", ":"))
