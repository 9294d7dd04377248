"""Reading a contract file as the Open Data Contract Standard defines it, with errors that point into the file.

The standard's package validates the outer shape only and ignores unknown words further in; its JSON schema refuses
them. Both are used: the schema to refuse, the package's model to read.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty

from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jsonschema.protocols import Validator

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Strict(_Loader):  # type: ignore[misc]
    """PyYAML keeps the last of two equal keys without a word; a contract must not lose a line that way."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key '{key.value}'", key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ContractError naming file and line if it is not one."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown line"
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ContractError(
            f"{path} does not parse as YAML ({where}: {reason})", "mend the YAML at that line"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} cannot be read ({error})", "make it a readable UTF-8 file") from error
    if not isinstance(document, dict):
        raise ContractError(f"{path} holds no mapping (line 1)", "start it with apiVersion, kind, id and version")
    return document


def parse_contract(path: Path) -> OpenDataContractStandard:
    """The contract in a file, valid against the standard's JSON schema; else ContractError with path and reason."""
    document = read_yaml(path)
    _refuse(path, document, _validator())
    return OpenDataContractStandard(**document)


def parse_shared(path: Path) -> Mapping[str, tuple[SchemaProperty, ...]]:
    """Groups of shared properties by name, each valid as a property of the standard; empty if there is no such file."""
    if not path.exists():
        return {}
    groups: dict[str, tuple[SchemaProperty, ...]] = {}
    for group, properties in read_yaml(path).items():
        _refuse(path, {group: properties}, _validator(shared_group=str(group)))
        groups[str(group)] = tuple(SchemaProperty(**item) for item in properties)
    return groups


@cache
def _validator(shared_group: str | None = None) -> Validator:
    from jsonschema.validators import validator_for

    # The package's own reader of this file uses a deprecated function of importlib.
    schema = json.loads((files("open_data_contract_standard") / "schema.json").read_text(encoding="utf-8"))
    if shared_group is not None:
        group = {"type": "array", "items": {"$ref": "#/$defs/SchemaProperty"}}
        schema = {"$schema": schema["$schema"], "$defs": schema["$defs"], "properties": {shared_group: group}}
    return validator_for(schema)(schema)


def _refuse(path: Path, document: Mapping[str, Any], validator: Validator) -> None:
    from jsonschema.exceptions import best_match

    error = best_match(validator.iter_errors(document))
    if error is None:
        return
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    raise ContractError(
        f"{path} is not valid against the Open Data Contract Standard at {where.lstrip('.') or 'the top'}"
        f" ({error.message[:300]})",
        "follow the standard at that place",
    ) from error
