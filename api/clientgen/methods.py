"""The operations of an OpenAPI document, each as the text of a method of :mod:`api.client`."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
TIMES = {"date-time": "datetime | str", "date": "date | str"}
JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Parameter:
    """``name`` as sent, ``where`` it goes (path, query or body), its type in Python, and whether it must be given."""

    name: str
    where: str
    type: str
    required: bool

    @property
    def argument(self) -> str:
        """Its name in Python."""
        name = re.sub(r"(?<=[a-z0-9])[A-Z]|-", lambda found: f"_{found[0].strip('-')}", self.name).lower()
        return f"{name}_" if keyword.iskeyword(name) or hasattr(builtins, name) else name

    @property
    def declared(self) -> str:
        """As it stands in a signature."""
        if self.required:
            return f"{self.argument}: {self.type}"
        return f"{self.argument}: {self.type.removesuffix(' | None')} | None = None"


@dataclass(frozen=True)
class Operation:
    """One way to ask and one form of the answer: an operation with two forms is two of these.

    ``form`` is the media type of the answer; ``answer`` and ``item`` are types in Python, of the whole and of each row
    or item of a list (empty if it is none). ``chosen`` are parameters of the query that this form needs.
    """

    name: str
    http: str
    path: str
    says: str
    parameters: tuple[Parameter, ...]
    form: str
    answer: str
    item: str
    chosen: dict[str, str]
    repeatable: bool

    @property
    def names(self) -> set[str]:
        """The schemas that it needs."""
        return {each.removeprefix("models.") for each in (self.answer, self.item) if each.startswith("models.")}

    def method(self, *, asynchronous: bool = False) -> str:
        """The text of the method; empty where there is none, as for Arrow without waiting."""
        sort, returned, kinds = self._made("Async" if asynchronous else "")
        if asynchronous and self.form == ARROW:
            return ""
        waits = asynchronous and sort == "answer"
        first = [each.declared for each in self.parameters if each.where == "path"]
        rest = [each for each in self.parameters if each.where != "path"]
        named = [each.declared for each in sorted(rest, key=lambda each: not each.required)]
        signature = ", ".join(["self", *first, *(["*", *named] if named else [])])
        call = ", ".join([*kinds, self._call()])
        return (
            f"    {'async ' if waits else ''}def {self.name}({signature}) -> {returned}:\n"
            f'        """{self.says}"""\n'
            f"        return {'await ' if waits else ''}self._{sort}({call})\n"
        )

    def _made(self, prefix: str) -> tuple[str, str, list[str]]:
        """What of the client makes the answer, its type, and the types to name to it."""
        if self.form == NDJSON:
            return "rows", f"{prefix}Iterator[{self.item}]", [self.item]
        if self.form == ARROW:
            return "arrow", "pa.RecordBatchReader", []
        if self.form != JSON:
            return "chunks", f"{prefix}Iterator[bytes]", []
        if self.item:
            return "listing", f"{prefix}Listing[{self.item}, {self.answer}]", [self.item, self.answer]
        return "answer", self.answer, [self.answer]

    def _call(self) -> str:
        given = [f'"{self.http}"', f'"{self.path}"']
        for where, name in (("path", "values"), ("query", "query"), ("body", "body")):
            pairs = [f'"{each.name}": {each.argument}' for each in self.parameters if each.where == where]
            if where == "query":
                pairs += [f'"{key}": "{value}"' for key, value in self.chosen.items()]
            if pairs:
                given.append(f"{name}={{{', '.join(pairs)}}}")
        return f"Call({', '.join([*given, *([] if self.repeatable else ['repeatable=False'])])})"


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """All operations, in the document's order."""
    for path, methods in document["paths"].items():
        for http, found in methods.items():
            yield from _of(document, path, http.upper(), found)


def _of(document: dict[str, Any], path: str, http: str, found: dict[str, Any]) -> Iterator[Operation]:
    content = found["responses"]["200"].get("content") or {"": {}}
    parameters = tuple(_parameters(document, found))
    says = found.get("description") or found["summary"]
    for form, media in content.items():
        chosen = media.get("x-chosen-by", {})
        answer = _type(media.get("schema", {}))
        paged = any(each.name == "cursor" for each in parameters)
        row = media.get("x-item") or (_members(document, media)["data"]["items"] if paged else None)
        yield Operation(
            name=found["operationId"] + ("_arrow" if form == ARROW else ""),
            http=http,
            path=path,
            says=says.partition("\n")[0],
            parameters=tuple(each for each in parameters if each.name not in chosen),
            form=form,
            answer=answer,
            item=_type(row) if row else "",
            chosen=chosen,
            repeatable=http == "GET" or found.get("x-repeatable", False),
        )


def _members(document: dict[str, Any], media: dict[str, Any]) -> dict[str, Any]:
    """The members of an answer."""
    found: dict[str, Any] = _resolved(document, media["schema"])["properties"]
    return found


def _parameters(document: dict[str, Any], found: dict[str, Any]) -> Iterator[Parameter]:
    for each in found.get("parameters", []):
        if each["in"] in {"path", "query"}:
            yield Parameter(each["name"], each["in"], _type(each["schema"], asked=True), each.get("required", False))
    body = found.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
    if body is not None:
        schema = _resolved(document, body)
        for name, member in schema["properties"].items():
            yield Parameter(name, "body", _type(member, asked=True), name in schema.get("required", []))


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(schema: dict[str, Any], *, asked: bool = False) -> str:
    """A schema's type in Python; as it is ``asked`` for, moments and days may be given as such."""
    if "$ref" in schema:
        return f"models.{schema['$ref'].rpartition('/')[2]}"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"
    if asked and schema.get("format") in TIMES:
        return TIMES[schema["format"]]
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(each, asked=asked) for each in schema["anyOf"]))
    if isinstance(schema.get("type"), list):
        return " | ".join(_type(schema | {"type": each}, asked=asked) for each in schema["type"])
    if schema.get("type") == "array":
        return f"list[{_type(schema.get('items', {}), asked=asked)}]"
    if schema.get("type") == "object":
        return "dict[str, Any]"
    return SCALARS.get(schema.get("type", ""), "Any")
