"""The dictionary of features: what each is, who keeps it and how fresh it is, as Markdown from the contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.streams.features import key_of, load_features, topic_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from c360.contracts.model import Column, Contract

HEAD = """# Dictionary of features

Made from the contracts in `c360/contracts/streams/features` by `c360 contracts dictionary`: change those, not this
page.

Of two rows of a key the one with the greater (`version`, `effective_at`) is the newer. As of a moment the row of a key
that holds is the newest of those whose `effective_at` is not after it."""

_ENGINES = {"flink": "Flink", "dagster": "Spark, run by Dagster"}


def feature_dictionary(contracts: Iterable[Contract] | None = None) -> str:
    """The page about these contracts of features in their order, or else about all."""
    found = load_features().values() if contracts is None else contracts
    return "\n\n".join([HEAD, *(part for contract in found for part in _chapter(contract))]) + "\n"


def _chapter(contract: Contract) -> Iterator[str]:
    yield f"## {contract.name}"
    yield f"{contract.description} {contract.granularity}".strip()
    facts = {
        "key": f"`{key_of(contract)}`",
        "engine": _ENGINES[contract.writer],
        "topic": f"`{topic_of(contract)}`, the newest row of each key",
        "fresh within": _hours(contract.freshness_hours),
        "kept for": f"{contract.retention_days} days" if contract.retention_days else "ever",
        "owner": contract.owner,
        "version of the contract": contract.version,
    }
    yield "\n".join(["| | |", "| --- | --- |", *(f"| {label} | {value} |" for label, value in facts.items() if value)])
    head = ["| column | type | required | personal | meaning |", "| --- | --- | --- | --- | --- |"]
    yield "\n".join([*head, *map(_line, contract.columns)])


def _hours(hours: int | None) -> str:
    return "" if hours is None else "1 hour" if hours == 1 else f"{hours} hours"


def _line(column: Column) -> str:
    personal = "" if column.classification == "none" else column.classification
    values = f" One of {', '.join(column.enum)}." if column.enum else ""
    cells = (f"`{column.name}`", column.type, "yes" if column.required else "", personal, column.description + values)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
