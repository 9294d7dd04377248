"""The direct identifiers of a lake's customers, read from the data files of its tables; no code of the product."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow.parquet as pq

from tests.leaks.rights import DIRECT, Person

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("gold/customer_360", "gold/dim_customer")
"""Those with direct identifiers that the index is built from."""
SHORT = 6
_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)


class People:
    """Customers of all releases whose files are there, also of those that nobody is served any more."""

    def __init__(self, warehouse: Path) -> None:
        self.warehouse = warehouse
        self.persons: dict[str, Person] = defaultdict(Person)
        self._owners: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._elsewhere: dict[str, set[str]] = defaultdict(set)
        self._read: set[Path] = set()
        self.patterns: dict[str, set[tuple[str, str]]] = {}
        """What to look for, in small letters, and whose it is: ids of customers, and the column."""

    def look(self) -> None:
        """Read the files that are new."""
        files = {file for table in TABLES for file in (self.warehouse / table / "data").rglob("*.parquet")}
        new = files - self._read
        for file in sorted(new):
            self._take(pq.ParquetFile(file).read().to_pylist())
        if new:
            self._read |= new
            self.patterns = self._patterns()

    def _take(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            customer = str(row["customer_id"])
            person = self.persons[customer]
            person.email |= row.get("consent_marketing_email") is True
            person.sms |= row.get("consent_marketing_sms") is True
            country, region = row.get("country_code"), row.get("region")
            person.places |= {str(country), f"{country}:{region}"} if country else set()
            for column, value in row.items():
                if not isinstance(value, str) or not value.strip():
                    continue
                if column in DIRECT:
                    self._owners[value, column].add(customer)
                else:
                    self._elsewhere[value].add(customer)

    def _patterns(self) -> dict[str, set[tuple[str, str]]]:
        """A value that stands, of somebody else, in a column that is no identifier, tells of nobody and is left out."""
        found: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for (value, column), customers in self._owners.items():
            if self._elsewhere[value] - customers:
                continue
            for form in forms(value, column):
                found[small(form)] |= {(customer, column) for customer in customers}
        return found


def small(text: str) -> str:
    """In small letters, as far as the search disregards them: those of ASCII."""
    return text.translate(_SMALL)


def forms(value: str, column: str) -> set[str]:
    """How a value may be written.

    Under six characters, or if it is a single word, which may be one of a language or a city, it counts only where it
    is all of a text, in quotes.
    """
    if len(value) < SHORT or value.isalpha():
        return {json.dumps(value), json.dumps(value, ensure_ascii=False), repr(value)}
    found = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value),
        quote(value, ""),
    }
    digits = re.sub(r"\D", "", value)
    return found | {digits} if column == "phone" and len(digits) >= 8 else found
