"""``make client``: the methods and types of :mod:`api.client`, generated from the API's own OpenAPI document.

Types come from datamodel-code-generator. Methods are written here, because what it and its peers generate for them is
a runtime of thousands of lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from api.clientgen.methods import Operation, operations
from c360.errors import C360Error

ROOT = Path(__file__).parents[2]
HERE = ROOT / "api" / "client" / "generated"
NOTE = "Generated from the API's OpenAPI document by `make client`: do not edit."


class GeneratingError(C360Error):
    """The client cannot be generated."""


def document() -> dict[str, Any]:
    """The OpenAPI document of this code; nothing is started."""
    from api.main import create_app
    from c360.settings import Settings

    return create_app(Settings(profile="local")).openapi()


def generated(source: dict[str, Any]) -> dict[str, str]:
    """The text of each generated file by its name. Raises GeneratingError."""
    found = list(operations(source))
    return _formatted(
        {
            "models.py": _models(source, found),
            "operations.py": _client(found),
            "async_operations.py": _async_client(found),
        }
    )


def main() -> int:
    """Write the files; exit code 1 with the mend where that fails."""
    try:
        for name, text in generated(document()).items():
            (HERE / name).write_text(text, encoding="utf-8")
    except C360Error as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _models(source: dict[str, Any], found: list[Operation]) -> str:
    """Typed dictionaries: a row is what the API sends, with whatever columns the caller may see."""
    try:
        from datamodel_code_generator import InputFileType, PythonVersion, generate
        from datamodel_code_generator.enums import DataModelType
        from datamodel_code_generator.format import Formatter
    except ImportError:
        raise GeneratingError("datamodel-code-generator is not installed", "run make setup") from None
    schemas = source["components"]["schemas"]
    wanted = _reached(schemas, {name for each in found for name in each.names})
    made = generate(
        {
            "openapi": source["openapi"],
            "info": source["info"],
            "paths": {},
            "components": {"schemas": {name: _shortened(schemas[name]) for name in sorted(wanted)}},
        },
        input_file_type=InputFileType.OpenAPI,
        output_model_type=DataModelType.TypingTypedDict,
        target_python_version=PythonVersion.PY_311,
        custom_file_header=f'"""What the API answers with. {NOTE}"""',
        formatters=[Formatter.BUILTIN],
        use_schema_description=True,
        use_single_line_docstring=True,
        use_total_false_for_typed_dict=True,
        use_closed_typed_dict=False,
        use_standard_collections=True,
        use_union_operator=True,
        use_double_quotes=True,
    )
    if not isinstance(made, str):
        raise GeneratingError("The document's schemas make no single module", "name each of them without a dot")
    return made


def _reached(schemas: dict[str, Any], names: set[str]) -> set[str]:
    """These schemas and all that they refer to."""
    found, left = set[str](), set(names)
    while left:
        name = left.pop()
        found.add(name)
        text = json.dumps(schemas[name])
        left |= {other for other in schemas if f'"#/components/schemas/{other}"' in text} - found
    return found


def _shortened(schema: dict[str, Any]) -> dict[str, Any]:
    """With the first sentence of its description, which becomes the docstring."""
    return schema | {"description": schema.get("description", "").partition(". ")[0].rstrip(".") + "."}


def _client(found: list[Operation]) -> str:
    methods = "\n".join(each.method() for each in found)
    return _module("sync", "Caller", "Listing", "Client", methods)


def _async_client(found: list[Operation]) -> str:
    methods = "\n".join(each.method(asynchronous=True) for each in found)
    return _module("asynchronous", "AsyncCaller", "AsyncListing", "AsyncClient", methods)


def _module(home: str, caller: str, listing: str, client: str, methods: str) -> str:
    return f'''"""The API's operations as methods. {NOTE}"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from api.client.answers import {listing}
from api.client.call import Call
from api.client.generated import models
from api.client.{home} import {caller}

if TYPE_CHECKING:
    import pyarrow as pa


class {client}({caller}):
    """Every operation of the API as a method; its settings are those of :class:`{caller}`."""

{methods}
'''


def _formatted(files: dict[str, str]) -> dict[str, str]:
    """As this repository is formatted, without imports that nothing uses."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        config = ["--config", str(ROOT / "pyproject.toml"), "--quiet", folder]
        for command in (["check", "--fix-only", "--no-cache"], ["format", "--no-cache"]):
            whole = [sys.executable, "-m", "ruff", *command, *config]
            done = subprocess.run(whole, capture_output=True, text=True, check=False)
            if done.returncode:
                raise GeneratingError("What was generated cannot be formatted", done.stderr.strip() or "run make setup")
        return {name: (Path(folder) / name).read_text(encoding="utf-8") for name in files}


if __name__ == "__main__":
    sys.exit(main())
