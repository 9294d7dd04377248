"""Profile a foreign file and propose the mapping that lands it: a draft for a person to read, correct and dry-run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from c360.errors import LandingError
from c360.ingest.mapping_propose import Choice, propose
from c360.ingest.mapping_sniff import sniff
from c360.ingest.mapping_source import open_source
from c360.ingest.mapping_stats import Statistics, measure
from c360.ingest.mapping_target import Target, find_target

if TYPE_CHECKING:
    from pathlib import Path

    from c360.ingest.mapping_model import SourceSpec

DEFAULT_SAMPLE = 100_000


@dataclass(frozen=True)
class Profile:
    """A file's columns, what is proposed for each target column, and the proposal as the text of a mapping file."""

    file: str
    target: str
    source: SourceSpec
    statistics: Statistics
    choices: tuple[Choice, ...]
    unused: tuple[str, ...]
    text: str

    @property
    def todo(self) -> tuple[str, ...]:
        """Target columns that a person has to decide."""
        return tuple(c.column for c in self.choices if c.todo)


def profile(path: Path, as_target: str, sample: int = DEFAULT_SAMPLE, encoding: str | None = None) -> Profile:
    """Profile the first ``sample`` records of a file for the target.

    Raises :class:`c360.ingest.mapping.MappingError` for an unknown target, :class:`LandingError` for the file.
    """
    target = find_target(as_target)
    sniffed = sniff(path, encoding)
    stats = measure(open_source(path, sniffed.spec), sample)
    if stats.rows == 0:
        raise LandingError(
            f"{path.name} has no records below its header", "export it again; there is nothing to profile"
        )
    tokens = sorted({t for c in stats.columns for t in c.null_tokens})
    comma = any(c.kind == "decimal_comma" for c in stats.columns) and not any(
        c.kind == "decimal" for c in stats.columns
    )
    grouped = comma and any("." in (c.maximum or "") for c in stats.columns if c.kind == "decimal_comma")
    spec = sniffed.spec.model_copy(
        update={"nulls": ("", *tokens)} | ({"decimal": ","} if comma else {}) | ({"thousands": "."} if grouped else {})
    )
    choices = propose(target, stats, named=sniffed.named)
    used = {str(c.fields.get("from")) for c in choices if c.fields}
    used |= {
        c.name
        for c in stats.columns
        for choice in choices
        if choice.fields and f"{{{c.name}}}" in str(choice.fields.get("key"))
    }
    unused = tuple(c.name for c in stats.columns if c.name not in used)
    text = _text(path, target, spec, stats, choices, unused)
    return Profile(path.name, target.name, spec, stats, choices, unused, text)


def save(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write the proposal; an existing file is only replaced with ``overwrite``."""
    if path.exists() and not overwrite:
        raise LandingError(f"{path} exists", "choose another name, or add --force to replace it")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise LandingError(f"{path} cannot be written: {error.strerror}", "choose a folder you may write to") from error
    finally:
        part.unlink(missing_ok=True)


def _text(
    path: Path,
    target: Target,
    spec: SourceSpec,
    stats: Statistics,
    choices: tuple[Choice, ...],
    unused: tuple[str, ...],
) -> str:
    lines = [
        f"# Proposed from {stats.rows:,} records of {_plain(path.name)}. Read it, replace every TODO, then try it:",
        f"#   c360 land {_plain(path.name)} --as {target.name} --mapping THIS_FILE --dry-run",
        "version: 1",
        f"target: {target.name}",
        *_source_lines(spec),
    ]
    if stats.keys:
        lines.append(f"# Unique in the sample: {', '.join(_plain(' + '.join(k)) for k in stats.keys[:5])}")
    lines.append("columns:")
    columns = dict(zip(target.fields, target.columns, strict=True))
    for choice in choices:
        column = columns[choice.column]
        allowed = f"; allowed: {', '.join(column.enum)}" if column.enum and "allowed" not in choice.why else ""
        about = f"{column.type}{', required' if column.required else ''}{allowed}"
        if choice.fields is None:
            lines.append(f"  # {choice.column}: ({about}; {choice.why}) {_plain(column.description)}")
            continue
        if choice.todo and choice.fields.get("from") == "TODO":
            lines.append(f"  # {_plain(column.description)}")
        why = f"confidence {choice.confidence:.2f}; {choice.why}"
        lines.append(f"  {choice.column}: {_flow(choice.fields)}  # {about}; {_plain(why)}")
    if unused:
        lines.append(f"# Columns of the file that are not used: {_plain(', '.join(unused))}")
    return "\n".join(lines) + "\n"


def _source_lines(spec: SourceSpec) -> list[str]:
    stated = spec.model_dump(mode="json", exclude_defaults=True) | {"format": spec.format}
    if spec.format == "parquet":
        stated = {"format": "parquet"} | ({"nulls": list(spec.nulls)} if spec.nulls != ("",) else {})
    return ["source:", *(f"  {name}: {_flow(value)}" for name, value in stated.items())]


def _flow(value: object) -> str:
    """One line of YAML that the mapping loader reads back as the same texts."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(str(k))}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if (
        text
        and all(c.isalnum() or c in "_-" for c in text)
        and text.isascii()
        and text.lower() != "null"
        and text[0] != "-"
    ):
        return text
    return yaml.dump(text, default_style='"', width=1_000_000, allow_unicode=True).strip()


def _plain(text: str) -> str:
    """Text for a comment: one line, printable."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
