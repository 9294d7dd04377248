"""How commands print rows: a table for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def print_rows(
    rows: Sequence[dict[str, Any]],
    *,
    as_json: bool,
    empty: str,
    text: Callable[[Any], str] = str,
    ascii_only: bool = True,
) -> None:
    """Print rows that share their columns.

    ``empty`` is the sentence for people where there are none, ``text`` a cell's text; JSON escapes all but ASCII unless
    told not to.
    """
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=ascii_only))
        return
    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(rows[0]):
        table.add_column(heading.replace("_", " "), overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*(escape(text(value)) for value in row.values()))
    Console().print(table)
