"""From the standard's form of a contract to ours: one small frozen value per table; refuses what we cannot keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from open_data_contract_standard.model import (
    CustomProperty,
    DataQuality,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
    Team,
)

from c360.contracts import vocabulary
from c360.contracts.model import Classification, Column, Contract, Layer, PartitionBy, Rule, Source
from c360.contracts.rules import compile_rule
from c360.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_HOURS = {"h": 1, "hour": 1, "hours": 1, "d": 24, "day": 24, "days": 24}
DAYS = {"d": 1, "day": 1, "days": 1, "y": 365, "yr": 365, "year": 365, "years": 365}

Shared = Mapping[str, tuple[SchemaProperty, ...]]


def compile_contract(document: OpenDataContractStandard, shared: Shared, path: Path) -> Contract:
    """The contract of one table; ``path`` is ``…/<layer>/<table>.yaml`` and decides the name.

    Raises ContractError for whatever the standard allows and this product does not: unknown types, transforms or rules,
    a key without a column, two columns of one name, a missing owner or description.
    """
    layer, table = path.parent.name, path.stem
    name = f"{layer}.{table}"
    if layer not in vocabulary.KINDS:
        _refuse(path, f"layer '{layer}' is unknown", f"use a folder of {_list(vocabulary.KINDS)}")
    if document.id != name:
        _refuse(path, f"id is '{document.id}' although the file is {name}", f"set id to {name}")
    if not _VERSION.fullmatch(document.version or ""):
        _refuse(path, f"version '{document.version}' is not major.minor.patch", "write it like 1.0.0")
    if len(document.schema_ or ()) != 1:
        _refuse(path, "schema does not hold exactly one table", "describe one table per file")
    body = cast("list[SchemaObject]", document.schema_)[0]
    if body.name != table:
        _refuse(path, f"the table is named '{body.name}' although the file is {name}", f"name it {table}")
    custom = custom_of(body.customProperties)
    group = custom.pop("sharedColumns", None)
    if group is not None and group not in shared:
        _refuse(path, f"sharedColumns names the unknown group '{group}'", f"use one of {_list(shared)}")
    topic = custom.pop("topic", None)
    if topic is not None and f"topic:{topic}" not in shared:
        _refuse(path, f"topic '{topic}' has no contract of events", "name a topic with events in JSON")
    events = shared[f"topic:{topic}"] if topic is not None else ()
    properties = (*events, *(body.properties or ()), *shared.get(group, ()))
    columns = tuple(compile_column(item, path) for item in properties)
    _refuse_twice(columns, path)
    key = _positions(properties, "primaryKey", "primaryKeyPosition", path)
    if not key:
        _refuse(path, "no column is part of the primary key", "mark the key columns with primaryKey: true")
    version_column = custom.pop("versionColumn", None)
    if version_column is not None and version_column not in key:
        _refuse(path, f"versionColumn '{version_column}' is no part of the key {key}", "name a column of the key")
    writer = custom.pop("writer", "dagster")
    if writer not in vocabulary.WRITERS:
        _refuse(path, f"writer '{writer}' is unknown", f"use one of {_list(vocabulary.WRITERS)}")
    source = _source(custom.pop("source", None), path)
    sla = {item.property: item for item in document.slaProperties or ()}
    contract = Contract(
        name=name,
        layer=cast("Layer", layer),
        table=table,
        version=cast("str", document.version),
        domain=document.domain or _refuse(path, "domain is missing", "name the domain that owns the table"),
        owner=owner_of(document, path),
        description=purpose_of(document, path),
        columns=columns,
        primary_key=key,
        business_key=tuple(column for column in key if column != version_column),
        version_column=version_column,
        partitioning=_partitioning(properties, path),
        retention_days=amount_of(sla.get("retention"), DAYS, path),
        freshness_hours=amount_of(sla.get("freshness"), _HOURS, path),
        upstream=tuple(custom.pop("upstream", ())),
        source=source,
        rules=_rules(body, properties, path),
        properties={str(k): str(v) for k, v in custom.pop("tableProperties", {}).items()},
        status=document.status or "active",
        tags=tuple(document.tags or ()),
        kinds=("iceberg", "flink")
        if writer == "flink"
        else (*vocabulary.KINDS[layer], *((source.format,) if source else ())),
        granularity=body.dataGranularityDescription or "",
        writer=writer,
        topic=topic,
    )
    if custom:
        _refuse(path, f"unknown custom properties {_list(custom)}", "remove them or mend the spelling")
    return contract


def compile_column(item: SchemaProperty, path: Path) -> Column:
    """One column or field of a contract; ContractError naming the file for what this product does not keep."""
    name = item.name or ""
    type_ = item.physicalType or ""
    if not vocabulary.is_type(type_):
        known = _list(t for t in vocabulary.LOGICAL_TYPES if t != "decimal")
        _refuse(path, f"column {name} has the unknown type '{type_}'", f"use one of {known} or decimal(p,s)")
    if item.logicalType != vocabulary.logical_of(type_):
        mend = f"set logicalType to {vocabulary.logical_of(type_)}"
        _refuse(path, f"column {name} is {type_} but its logicalType is {item.logicalType}", mend)
    if not (item.description or "").strip():
        _refuse(path, f"column {name} has no description", "say what it means")
    if item.classification not in vocabulary.CLASSIFICATIONS:
        mend = f"use one of {_list(vocabulary.CLASSIFICATIONS)}"
        _refuse(path, f"column {name} has the classification '{item.classification}'", mend)
    custom = custom_of(item.customProperties)
    standardise = tuple(custom.pop("standardise", ()))
    for transform in standardise:
        if transform not in vocabulary.STANDARDISE:
            mend = f"use those of {_list(vocabulary.STANDARDISE)}"
            _refuse(path, f"column {name} names the unknown standardise transform '{transform}'", mend)
    source = custom.pop("sourceColumn", name)
    custom.pop("partitionTransform", None)
    if custom:
        _refuse(path, f"column {name} has unknown custom properties {_list(custom)}", "remove or respell them")
    options = dict(item.logicalTypeOptions or {})
    pattern, minimum, maximum = options.pop("pattern", None), options.pop("minimum", None), options.pop("maximum", None)
    max_length = options.pop("maxLength", None)
    if options:
        mend = "use minimum, maximum, pattern or maxLength"
        _refuse(path, f"column {name} has options that are not enforced: {_list(options)}", mend)
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            _refuse(path, f"column {name} has a pattern that is no regular expression ({error})", "mend the pattern")
    targets = [
        to for link in item.relationships or () for to in ([link.to] if isinstance(link.to, str) else link.to or ())
    ]
    if len(targets) > 1:
        _refuse(path, f"column {name} refers to more than one column", "keep one relationship")
    return Column(
        name=name,
        type=type_,
        required=bool(item.required),
        description=" ".join((item.description or "").split()),
        classification=cast("Classification", item.classification),
        source=source,
        standardise=standardise,
        minimum=None if minimum is None else str(minimum),
        maximum=None if maximum is None else str(maximum),
        pattern=pattern,
        max_length=max_length,
        enum=tuple(str(value.value) for value in item.enum or ()),
        references=targets[0] if targets else None,
        unique=bool(item.unique),
        examples=tuple(_text(example) for example in item.examples or ()),
    )


def _refuse_twice(columns: Sequence[Column], path: Path) -> None:
    seen: set[str] = set()
    for column in columns:
        # Spark and Flink compare column names without case, so two that differ in case only are one column there.
        if column.name.lower() in seen:
            _refuse(path, f"column {column.name} is described twice", "remove one of the two")
        seen.add(column.name.lower())


def _positions(properties: Sequence[SchemaProperty], flag: str, position: str, path: Path) -> tuple[str, ...]:
    """Names of the flagged properties in order of their positions, which must count from 1."""
    flagged = [item for item in properties if getattr(item, flag)]
    found = [getattr(item, position) for item in flagged]
    if sorted(p or -1 for p in found) != list(range(1, len(flagged) + 1)):
        _refuse(path, f"{position} of the {flag} columns is {found}", f"number them 1 to {len(flagged)}")
    ordered = sorted(flagged, key=lambda item: cast("int", getattr(item, position)))
    return tuple(cast("str", item.name) for item in ordered)


def _partitioning(properties: Sequence[SchemaProperty], path: Path) -> tuple[PartitionBy, ...]:
    by_name = {item.name: item for item in properties}
    fields = []
    for name in _positions(properties, "partitioned", "partitionKeyPosition", path):
        transform = str(custom_of(by_name[name].customProperties).get("partitionTransform", "identity"))
        if not vocabulary.is_transform(transform):
            mend = "use identity, year, month, day, hour, bucket[n] or truncate[n]"
            _refuse(path, f"column {name} has the unknown partition transform '{transform}'", mend)
        fields.append(PartitionBy(name, transform))
    return tuple(fields)


def _rules(body: SchemaObject, properties: Sequence[SchemaProperty], path: Path) -> tuple[Rule, ...]:
    stated: list[tuple[DataQuality, str | None]] = [(quality, None) for quality in body.quality or ()]
    stated += [(quality, item.name) for item in properties for quality in item.quality or ()]
    known = [cast("str", item.name) for item in properties]
    return tuple(compile_rule(quality, column, known, path) for quality, column in stated)


def _source(value: Any, path: Path) -> Source | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"system", "entity", "format"}:
        _refuse(path, "source does not state system, entity and format", "state these three and nothing else")
    if value["format"] not in ("csv", "jsonl", "parquet"):
        _refuse(path, f"source has the unknown format '{value['format']}'", "use csv, jsonl or parquet")
    return Source(value["system"], value["entity"], value["format"])


def owner_of(document: OpenDataContractStandard, path: Path) -> str:
    """The team that owns what the contract describes; ContractError if none does."""
    team = document.team
    name = team.name if isinstance(team, Team) else None
    return name or _refuse(path, "no team owns the table", "set team.name")


def purpose_of(document: OpenDataContractStandard, path: Path) -> str:
    """The stated purpose on one line; ContractError if there is none."""
    purpose = document.description.purpose if document.description else None
    return " ".join((purpose or _refuse(path, "description.purpose is missing", "say what the table is for")).split())


def amount_of(sla: Any, units: Mapping[str, int], path: Path) -> int | None:
    """A service level in the smallest of ``units``, None if it is not stated; ContractError if it makes no sense."""
    if sla is None:
        return None
    if not isinstance(sla.value, int) or sla.value <= 0 or sla.unit not in units:
        problem = f"{sla.property} of {sla.value} {sla.unit} is not understood"
        _refuse(path, problem, f"state a positive whole number of {_list(units)}")
    return int(sla.value) * units[sla.unit]


def custom_of(properties: Sequence[CustomProperty] | None) -> dict[str, Any]:
    """Custom properties by name."""
    return {cast("str", item.property): item.value for item in properties or ()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _list(names: Any) -> str:
    return ", ".join(str(name) for name in names) or "none"


def _refuse(path: Path, problem: str, mend: str) -> NoReturn:
    raise ContractError(f"{path}: {problem}", mend)
