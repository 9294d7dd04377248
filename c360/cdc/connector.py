"""How Debezium reads the shop: names and configuration, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.cdc.schema import NAMES, SCHEMA
from c360.engines import ports
from c360.engines.postgres import DATABASE, secrets_file
from c360.events.topics import TopicConfig, in_sync, replicas

if TYPE_CHECKING:
    from c360.settings import Settings

NAME = "shop"
"""Of the connector."""

SERVER = "dbserver1"
USER = "cdc"
PUBLICATION = SLOT = "c360_shop"
HEARTBEATS = f"__debezium-heartbeat.{SERVER}"
PARTITIONS = 2
RETENTION_DAYS = 7


def topic(table: str) -> str:
    """The topic of a table's changes."""
    return f"{SERVER}.{SCHEMA}.{table}"


def topics(brokers: int) -> tuple[TopicConfig, ...]:
    """The topics that changes go to, on a cluster of that many brokers; all changes of a key lie in one partition."""
    copies = replicas(brokers)
    shared = {"min.insync.replicas": str(in_sync(copies)), "retention.ms": str(RETENTION_DAYS * 86_400_000)}
    # A compacted topic would lose the versions between: bronze wants each.
    found = [TopicConfig(topic(name), PARTITIONS, copies, {**shared, "cleanup.policy": "delete"}) for name in NAMES]
    return (*found, TopicConfig(HEARTBEATS, 1, copies, {**shared, "cleanup.policy": "compact,delete"}))


def connector_config(settings: Settings) -> dict[str, str]:
    """Configuration of the connector; the password is a reference that the worker resolves."""
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "exactly.once.support": "required",
        "database.hostname": ports.LOOPBACK,
        "database.port": str(settings.postgres_port),
        "database.dbname": DATABASE,
        "database.user": USER,
        "database.password": f"${{file:{secrets_file(settings)}:{USER}}}",
        "topic.prefix": SERVER,
        "table.include.list": ",".join(f"{SCHEMA}.{name}" for name in NAMES),
        "plugin.name": "pgoutput",
        "publication.name": PUBLICATION,
        "publication.autocreate.mode": "disabled",
        "slot.name": SLOT,
        "slot.drop.on.stop": "false",
        # Rows that were there before are told once, as reads; after that a lost slot is an error, not a new beginning.
        "snapshot.mode": "initial",
        "decimal.handling.mode": "precise",
        "time.precision.mode": "adaptive_time_microseconds",
        "tombstones.on.delete": "true",
        # By default truncations would not be told, and the rows stay for ever.
        "skipped.operations": "none",
        "extended.headers.enabled": "false",
        "poll.interval.ms": "20",
        # Lets the log be cut off although the tables are quiet, and time pass for the streams of features.
        "heartbeat.interval.ms": "1000",
        "retriable.restart.connector.wait.ms": "1000",
    }


def schema_statements(tables: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Statements that make tables (DDL by name) and publication; each may be given again."""
    qualified = ", ".join(f"{SCHEMA}.{name}" for name in tables)
    return (
        *(statement for statements in tables.values() for statement in statements),
        f"DO $$ BEGIN CREATE PUBLICATION {PUBLICATION}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER PUBLICATION {PUBLICATION} SET TABLE {qualified}",
        f"GRANT SELECT ON {qualified} TO {USER}",
    )
