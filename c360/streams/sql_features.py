"""Sinks of a job of features: for each of its tables the append-only history in Iceberg and the compacted topic."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from c360.contracts.loader import load_stream_contracts
from c360.contracts.vocabulary import decimal_of
from c360.engines.flink_conf import quoted
from c360.streams.features import key_of, load_features, topic_of

if TYPE_CHECKING:
    from c360.contracts.model import Column, Contract
    from c360.settings import Settings
    from c360.streams.job import StreamJob

_VIEW = re.compile(r"CREATE TEMPORARY VIEW (\w+) AS\s+(.*)", re.DOTALL)
_FLINK = {"string": "STRING", "long": "BIGINT", "int": "INT", "double": "DOUBLE", "boolean": "BOOLEAN"}


def feature_statements(job: StreamJob, settings: Settings, texts: list[str]) -> list[str]:
    """The job's statements with, for each table, its topic as a table and the insertions into both.

    Views become common table expressions of the insertions: Flink 2.1 cannot read back a view that calls a process
    table function (FLINK-37700). What two insertions have in common is computed once all the same.
    """
    views = [match for text in texts if (match := _VIEW.fullmatch(text))]
    common = "WITH " + ",\n".join(f"{view[1]} AS (\n{view[2]}\n)" for view in views)
    found = [text for text in texts if not _VIEW.fullmatch(text)]
    for name in job.outputs:
        contract = load_stream_contracts()[name]
        found.append(_into_table(contract, common))
        if name in load_features():
            found += [_topic(contract, settings), _into_topic(contract, common)]
    return found


def _into_table(contract: Contract, common: str) -> str:
    columns = ", ".join(f"`{column.name}`" for column in contract.columns)
    target = f"`lake`.`{contract.layer}`.`{contract.table}`"
    return f"INSERT INTO {target}\n{common}\nSELECT {columns} FROM {contract.table}_rows"


def _topic(contract: Contract, settings: Settings) -> str:
    columns = ", ".join(f"`{column.name}` {_kind(column)}" for column in contract.columns)
    options = {
        "connector": "kafka",
        "topic": topic_of(contract),
        "properties.bootstrap.servers": settings.kafka_servers,
        "properties.linger.ms": "5",
        "key.format": "raw",
        "key.fields": key_of(contract),
        "value.format": "json",
        # Read at once and not with the next checkpoint: a row that comes again changes nothing, as it has a version.
        "sink.delivery-guarantee": "at-least-once",
    }
    listed = ", ".join(f"{quoted(key)} = {quoted(value)}" for key, value in options.items())
    return f"CREATE TEMPORARY TABLE {contract.table}_topic ({columns}) WITH ({listed})"


def _into_topic(contract: Contract, common: str) -> str:
    columns = ", ".join(_text(column) for column in contract.columns)
    return f"INSERT INTO {contract.table}_topic\n{common}\nSELECT {columns} FROM {contract.table}_rows"


def _kind(column: Column) -> str:
    return _FLINK.get(column.type, "STRING")


def _text(column: Column) -> str:
    """Amounts and moments as text, which every reader understands in one way."""
    if column.type == "timestamp":
        return f"moment_text(`{column.name}`)"
    return f"CAST(`{column.name}` AS STRING)" if decimal_of(column.type) else f"`{column.name}`"
