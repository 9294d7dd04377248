"""The mapping language: a small YAML file that says how a foreign file becomes a landing file of a contract.

One mapping leads from one source file (with look-ups in others) to one target. What is wrong in it is said with the
line, the field and the mend, before any data is read.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from c360.ingest.mapping_model import ColumnSpec, LookupSpec, Mapping, SourceSpec
from c360.ingest.mapping_target import Target, did_you_mean, find_target
from c360.ingest.mapping_yaml import Document, MappingError, parse

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ColumnSpec", "LookupSpec", "Mapping", "MappingError", "SourceSpec", "load_mapping", "parse_mapping"]

TODO = "TODO"
MAX_BYTES = 1_000_000


def load_mapping(path: Path, as_target: str | None = None) -> tuple[Mapping, Target, Document]:
    """Read and check a mapping file against its target's contract.

    Raises :class:`MappingError` naming file, line, field and mend.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MappingError(
                f"Mapping {path} has more than {MAX_BYTES:,} bytes", "give the mapping file, not the data file"
            )
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MappingError(f"There is no mapping file {path}", "check the path after --mapping") from error
    except UnicodeDecodeError as error:
        raise MappingError(f"Mapping {path} is not UTF-8 text", "save it as UTF-8") from error
    except OSError as error:
        raise MappingError(
            f"Mapping {path} cannot be read: {error.strerror}", "check the path after --mapping"
        ) from error
    return parse_mapping(text, path.name, as_target)


def parse_mapping(text: str, origin: str, as_target: str | None = None) -> tuple[Mapping, Target, Document]:
    """As :func:`load_mapping`, from a text; ``origin`` names it in errors."""
    document = parse(text, origin)
    if not isinstance(document.value, dict):
        raise MappingError(f"{origin} is not a mapping", "start it with `version: 1` and `target: system.entity`")
    _refuse_todo(document, origin)
    try:
        mapping = Mapping.model_validate(document.value)
    except ValidationError as error:
        raise _explain(error, document, origin) from error
    if as_target is not None and mapping.target != as_target:
        find_target(as_target)
        raise MappingError(
            f"{origin} line {document.line(('target',))} leads to {mapping.target}, but --as says {as_target}",
            "make both the same",
        )
    target = find_target(mapping.target)
    _check_columns(mapping, target, document, origin)
    return mapping, target, document


def _check_columns(mapping: Mapping, target: Target, document: Document, origin: str) -> None:
    for name in mapping.columns:
        if name not in target.fields:
            line = document.line(("columns", name))
            raise MappingError(
                f"{origin} line {line}: {target.name} has no column '{name}'{did_you_mean(name, target.fields)}",
                f"use columns of {target.name}: {', '.join(target.fields)}",
            )
    missing = [f for f, c in zip(target.fields, target.columns, strict=True) if c.required and f not in mapping.columns]
    if missing:
        raise MappingError(
            f"{origin} leaves out what {target.name} requires: {', '.join(missing)}",
            "add each under `columns:` with from, value, expr or key",
        )


def _refuse_todo(document: Document, origin: str) -> None:
    todo = [path for path, value in _scalars(document.value, ()) if value == TODO]
    if todo:
        names = ", ".join(f"{'.'.join(str(p) for p in path)} (line {document.line(path)})" for path in todo)
        raise MappingError(f"{origin} still has TODO at {names}", "replace each TODO by a source column or a value")


def _scalars(value: object, path: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        return [leaf for key, child in value.items() for leaf in _scalars(child, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, child in enumerate(value) for leaf in _scalars(child, (*path, i))]
    return [(path, value)]


def _explain(error: ValidationError, document: Document, origin: str) -> MappingError:
    found = error.errors(include_url=False)
    # An unknown field is likelier the cause than what is missing because of it.
    details: dict[str, Any] = dict(min(found, key=lambda e: e["type"] != "extra_forbidden"))
    path = tuple(p for p in details["loc"] if p != "[key]")
    line = document.line(path)
    where = f"{origin} line {line}" if line else origin
    name = ".".join(str(p) for p in path)
    if details["type"] == "extra_forbidden":
        fields = _fields_at(path[:-1])
        close = difflib.get_close_matches(str(path[-1]), fields, n=1, cutoff=0.5)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return MappingError(f"{where}: unknown field '{name}'{hint}", f"use one of {', '.join(fields)}")
    if details["type"] == "missing":
        return MappingError(f"{where}: the field '{name}' is missing", f"add `{path[-1]}:`")
    message = str(details["msg"]).removeprefix("Value error, ")
    if details["type"] == "literal_error" and path == ("version",):
        return MappingError(f"{where}: mapping version '{details['input']}' is not known", "write `version: 1`")
    return MappingError(f"{where}: '{name or 'mapping'}': {message}", "correct that field")


def _fields_at(path: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = Mapping
    if path[:1] == ("source",) or path[-1:] == ("source",):
        model = SourceSpec
    elif path[:1] == ("lookups",):
        model = LookupSpec
    elif path[:1] == ("columns",):
        model = ColumnSpec
    return [info.alias or name for name, info in model.model_fields.items()]
