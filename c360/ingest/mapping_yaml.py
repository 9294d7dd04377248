"""Read a mapping's YAML as plain text with line numbers.

Every scalar stays the text that was written, because YAML's own typing would spoil a mapping: ``0.10`` would become a
float, ``NO: Norway`` a boolean key, ``2024-01-05`` a date. Only an unquoted ``null``, ``~`` or nothing at all is null.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from c360.errors import LandingError

Path_ = tuple[str | int, ...]


class MappingError(LandingError):
    """A mapping cannot be used: wrong YAML, unknown field or column, an expression that is refused, a TODO left."""


@dataclass
class Document:
    """The value of a YAML text (dicts, lists, str, None) and the line, from 1, where each path starts."""

    value: object
    lines: dict[Path_, int] = field(default_factory=dict)

    def line(self, path: Path_) -> int | None:
        """Line of the path, or of its nearest parent that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def parse(text: str, origin: str) -> Document:
    """Parse one YAML document.

    Raises :class:`MappingError` for YAML that does not parse, repeated keys, and anchors.
    """
    document = Document(None)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise MappingError(f"{origin} is empty", "write a mapping, or let `c360 profile` propose one")
        document.value = _convert(node, (), document.lines, set(), origin)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "unknown line"
        raise MappingError(
            f"{origin} is not YAML: {error.problem} at {where}", "correct that line; quote texts that hold : or #"
        ) from error
    except yaml.YAMLError as error:
        raise MappingError(
            f"{origin} is not YAML: {error}", "save it as UTF-8 text without control characters"
        ) from error
    except RecursionError as error:
        raise MappingError(f"{origin} is nested too deeply", "a mapping has at most four levels") from error
    return document


def _convert(node: yaml.Node, path: Path_, lines: dict[Path_, int], seen: set[int], origin: str) -> object:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if id(node) in seen:
        raise MappingError(f"{origin} line {line} uses a YAML anchor", "write the value out; anchors are not supported")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and node.tag == "tag:yaml.org,2002:null":
            return None
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_convert(child, (*path, i), lines, seen, origin) for i, child in enumerate(node.value)]
    result: dict[str, object] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise MappingError(
                f"{origin} line {key_node.start_mark.line + 1} has a key that is no text", "use a plain key"
            )
        key = str(key_node.value)
        if key in result:
            raise MappingError(
                f"{origin} line {key_node.start_mark.line + 1} repeats the key '{key}'", "keep one of the two"
            )
        lines[(*path, key)] = key_node.start_mark.line + 1
        result[key] = _convert(value_node, (*path, key), lines, seen, origin)
    return result
