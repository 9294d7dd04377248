"""Contracts of Kafka topics: the same standard as tables, with nested fields and the size a topic needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

from c360.contracts.compile import DAYS, amount_of, compile_column, custom_of, owner_of, purpose_of
from c360.contracts.model import Column
from c360.contracts.standard import parse_contract, parse_shared
from c360.contracts.vocabulary import CLASSIFICATIONS
from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty, Server

    from c360.contracts.compile import Shared
    from c360.contracts.model import Classification

TOPICS = Path(__file__).parent / "topics"
SHARED = "shared.yaml"
MAP = "map"
"""Type of a field that holds texts, numbers and flags by name; the other types are those of table columns."""

RETENTION_DAYS: Mapping[str, int] = MappingProxyType({"raw": 7, "bronze": 90, "silver": 730, "gold": 2555})
"""Days that a topic of each layer keeps its messages, unless its contract says otherwise."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_VERSION = re.compile(r"1\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_COMPRESSIONS = ("none", "lz4", "zstd", "snappy", "gzip", "producer")
_POLICIES = ("delete", "compact")
_TIMES = {"lateness": 600, "clockSkew": 300, "maxAgeDays": 365, "dedupHorizonHours": 24}
_SERVER = ("layer", "throughput", "partitionThroughput", "consumers", "compression", "cleanupPolicy", *_TIMES)


@dataclass(frozen=True)
class TopicContract:
    """One topic's contract.

    ``fields`` are the leaves of the event by dotted path (``payload.user_id``); for a topic of format ``bytes`` they
    are the message's headers. ``key`` names the fields of which the first present one is the message key.
    ``throughput`` and ``partition_throughput`` are MB a second.

    An event that arrives more than ``lateness`` seconds after it happened is late for its window. One that happened
    more than ``clock_skew`` seconds after it arrived, or more than ``max_age_days`` before, is refused. A repetition
    within ``dedup_horizon_hours`` is recognised.
    """

    name: str
    layer: Literal["raw", "bronze", "silver", "gold"]
    version: str
    domain: str
    owner: str
    description: str
    format: Literal["json", "bytes"]
    fields: tuple[Column, ...]
    key: tuple[str, ...]
    event_types: tuple[str, ...]
    retention_days: int
    throughput: float
    partition_throughput: float
    consumers: int
    compression: str
    cleanup_policy: Literal["delete", "compact"]
    status: str = "active"
    lateness: int = 600
    clock_skew: int = 300
    max_age_days: int = 365
    dedup_horizon_hours: int = 24

    @property
    def schema_versions(self) -> int:
        """The newest schema version; a new minor version of the contract adds one."""
        return int(self.version.split(".")[1]) + 1

    @property
    def encrypted(self) -> tuple[str, ...]:
        """Fields that identify a person by themselves: never on the wire in clear text."""
        return tuple(field.name for field in self.fields if field.classification == "direct")

    def field(self, name: str) -> Column:
        """The field with that dotted path; KeyError if there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(f"{self.name} has no field {name}")


def load_topics(root: Path | None = None) -> Mapping[str, TopicContract]:
    """Contracts of topics by name; without ``root`` (a folder of ``<topic>.yaml``) the product's own, read once.

    Raises ContractError for the first contract that cannot be kept, and if two topics claim one event type.
    """
    return _packaged() if root is None else _load(root)


@cache
def _packaged() -> Mapping[str, TopicContract]:
    return _load(TOPICS)


def _load(root: Path) -> Mapping[str, TopicContract]:
    shared = parse_shared(root / SHARED)
    paths = [path for path in sorted(root.glob("*.yaml")) if path.name != SHARED]
    if not paths:
        raise ContractError(f"{root} holds no contracts of topics", "add <topic>.yaml")
    topics = {topic.name: topic for topic in (compile_topic(parse_contract(path), shared, path) for path in paths)}
    owners: dict[str, str] = {}
    for topic in topics.values():
        for event_type in topic.event_types:
            if event_type in owners:
                problem = f"Event type {event_type} belongs to {owners[event_type]} and to {topic.name}"
                raise ContractError(problem, "give each event type one topic")
            owners[event_type] = topic.name
    return MappingProxyType(topics)


def compile_topic(document: OpenDataContractStandard, shared: Shared, path: Path) -> TopicContract:
    """The contract of one topic; ``path`` is ``…/<topic>.yaml`` and decides the name.

    Raises ContractError for whatever the standard allows and this product does not. The major version stays 1: what
    would break readers needs a new topic, because old and new messages lie in one log.
    """
    name = path.stem
    if not _NAME.fullmatch(name) or document.id != name:
        _refuse(path, f"id is '{document.id}' although the file is {name}", f"set id to {name}")
    if not _VERSION.fullmatch(document.version or ""):
        _refuse(path, f"version '{document.version}' is not 1.minor.patch", "a new major version is a new topic")
    bodies = document.schema_ or []
    if len(bodies) != 1 or bodies[0].name != name or bodies[0].physicalType != "topic":
        _refuse(path, "schema does not hold exactly this topic", f"describe one topic named {name}")
    server = _kafka(document, path)
    size = custom_of(server.customProperties)
    custom = custom_of(bodies[0].customProperties)
    group = custom.pop("sharedFields", None)
    if group is not None and group not in shared:
        _refuse(path, f"sharedFields names the unknown group '{group}'", "use a group of shared.yaml")
    key = tuple(custom.pop("key", ()))
    unknown = [*custom, *(set(size) - set(_SERVER))]
    if unknown:
        _refuse(path, f"unknown custom properties {', '.join(unknown)}", "remove them or mend the spelling")
    versions = int(cast("str", document.version).split(".")[1]) + 1
    fields = tuple(_fields((*shared.get(group, ()), *(bodies[0].properties or ())), "", versions, path))
    by_name = {field.name: field for field in fields}
    if len(by_name) != len(fields):
        _refuse(path, "a field is described twice", "remove one of the two")
    for field in key:
        if field not in by_name or by_name[field].type != "string" or by_name[field].classification == "direct":
            _refuse(path, f"key '{field}' is no text field that may be read by anyone", "name such a field")
    layer = str(size.get("layer"))
    if layer not in RETENTION_DAYS:
        _refuse(path, f"layer '{layer}' is unknown", f"use one of {', '.join(RETENTION_DAYS)}")
    retention = next((sla for sla in document.slaProperties or () if sla.property == "retention"), None)
    if server.format == "json" and "event_type" not in by_name:
        _refuse(path, "an event has no field event_type", "add it with the event types it allows")
    return TopicContract(
        name=name,
        layer=cast("Any", layer),
        version=cast("str", document.version),
        domain=document.domain or _refuse(path, "domain is missing", "name the domain that owns the topic"),
        owner=owner_of(document, path),
        description=purpose_of(document, path),
        format=cast("Any", server.format),
        fields=fields,
        key=key,
        event_types=by_name["event_type"].enum if server.format == "json" else (),
        retention_days=amount_of(retention, DAYS, path) or RETENTION_DAYS[layer],
        throughput=_positive(size, "throughput", path),
        partition_throughput=_positive(size, "partitionThroughput", path),
        consumers=int(_positive(size, "consumers", path)),
        compression=_word(size, "compression", _COMPRESSIONS, path),
        cleanup_policy=cast("Any", _word(size, "cleanupPolicy", _POLICIES, path)),
        status=document.status or "active",
        lateness=int(_positive({**_TIMES, **size}, "lateness", path)),
        clock_skew=int(_positive({**_TIMES, **size}, "clockSkew", path)),
        max_age_days=int(_positive({**_TIMES, **size}, "maxAgeDays", path)),
        dedup_horizon_hours=int(_positive({**_TIMES, **size}, "dedupHorizonHours", path)),
    )


def _fields(items: Sequence[SchemaProperty], prefix: str, versions: int, path: Path) -> Iterator[Column]:
    for item in items:
        name = f"{prefix}{item.name}"
        if item.logicalType == "object":
            if not item.required or not item.properties:
                _refuse(path, f"object {name} is optional or empty", "make it required and give it properties")
            yield from _fields(item.properties, f"{name}.", versions, path)
        elif item.logicalType == MAP:
            if item.classification not in CLASSIFICATIONS or not item.description:
                _refuse(path, f"map {name} lacks a description or a known classification", "state both")
            yield Column(name, MAP, bool(item.required), item.description, cast("Classification", item.classification))
        else:
            options = {"maximum": versions} if name == "schema_version" else {}
            stated = {**(item.logicalTypeOptions or {}), **options}
            leaf = item.model_copy(update={"name": name, "logicalTypeOptions": stated})
            column = compile_column(leaf, path)
            if column.classification == "direct" and (column.type != "string" or column.required):
                _refuse(path, f"field {name} is encrypted but no optional text", "make it an optional string")
            yield column


def _kafka(document: OpenDataContractStandard, path: Path) -> Server:
    servers = [server for server in document.servers or () if server.type == "kafka"]
    if len(servers) != 1 or servers[0].format not in ("json", "bytes"):
        _refuse(path, "there is not exactly one server of type kafka with format json or bytes", "describe that one")
    return servers[0]


def _positive(size: Mapping[str, Any], name: str, path: Path) -> float:
    value = size.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        _refuse(path, f"{name} is {value}", "state a number above 0")
    return float(value)


def _word(size: Mapping[str, Any], name: str, known: Sequence[str], path: Path) -> str:
    value = size.get(name, "delete" if name == "cleanupPolicy" else None)
    if value not in known:
        _refuse(path, f"{name} is '{value}'", f"use one of {', '.join(known)}")
    return str(value)


def _refuse(path: Path, problem: str, mend: str) -> NoReturn:
    raise ContractError(f"{path}: {problem}", mend)
