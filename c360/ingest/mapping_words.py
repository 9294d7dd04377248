"""How like two column names are, in the words that shops, tills and exports use for the same thing."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SYNONYMS = {
    "customer": "client cust buyer shopper user member account kunde kunden",
    "order": "purchase sale bestellung ord",
    "product": "item article sku part goods prod",
    "id": "key no nr num number code identifier uid guid ref pk",
    "quantity": "qty count units pieces amount_units volume menge",
    "price": "cost_per_unit rate retailprice preis unitprice",
    "amount": "total value sum amt betrag",
    "discount": "rebate reduction rabatt",
    "ordered": "orderdate placed purchased order_date bought created",
    "updated": "modified changed last_update lastmodified mod upd",
    "registered": "signup signedup joined since created",
    "occurred": "happened booked posted transaction_date",
    "at": "date time timestamp ts on datetime datum day",
    "status": "state orderstatus stage",
    "channel": "origin medium",
    "currency": "curr ccy",
    "location": "address addr site place",
    "city": "town municipality ort",
    "postal": "zip postcode plz",
    "region": "province county",
    "country": "nation land",
    "street": "address1 line1 road strasse",
    "latitude": "lat",
    "longitude": "lon lng long",
    "email": "mail e_mail emailaddress",
    "phone": "tel telephone mobile cell",
    "first": "given fore vorname",
    "last": "sur family nachname",
    "birth": "dob birthday geburt",
    "name": "title label description_short",
    "category": "group class department segment",
    "subcategory": "subgroup subclass",
    "brand": "make manufacturer mfgr vendor",
    "weight": "mass kg",
    "line": "row position pos linenumber",
    "shipping": "freight delivery postage versand",
    "shipped": "dispatched sent shipdate",
    "delivered": "arrived received",
    "promised": "due expected commit",
    "returned": "refunded",
    "warehouse": "depot store_location wh",
    "carrier": "shipper courier",
    "method": "mode instrument",
    "transaction": "payment txn trans",
    "shipment": "parcel package consignment",
    "event": "action hit",
    "session": "visit",
}
_CANONICAL = {word: canonical for canonical, words in SYNONYMS.items() for word in (canonical, *words.split())}
_JOINED = {"orderkey": "order id", "custkey": "customer id", "partkey": "product id", "linenumber": "line id",
           "orderdate": "order at", "retailprice": "unit price", "unitprice": "unit price", "zipcode": "postal id",
           "postcode": "postal id", "birthdate": "birth at", "dob": "birth at", "firstname": "first name",
           "surname": "last name", "lastname": "last name", "forename": "first name", "orderid": "order id",
           "customerid": "customer id", "productid": "product id", "itemid": "product id"}  # fmt: skip
_MARKS = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def words(name: str) -> tuple[str, ...]:
    """The name's words in lower case, each replaced by its canonical synonym."""
    plain = [w for w in _MARKS.split(_CAMEL.sub("_", name).lower()) if w]
    spread = [w for word in plain for w in _JOINED.get(word, word).split()]
    return tuple(_CANONICAL.get(w, w) for w in spread)


def name_key(name: str) -> str:
    """The name without marks and case."""
    return _MARKS.sub("", name.lower())


def _weighty(found: tuple[str, ...]) -> set[str]:
    """The words without those that say little beside others: `at`, and `last` in `last modified`."""
    light = {"at", "last"} if "updated" in found else {"at"}
    return set(found) - light or set(found)


def without_prefix(names: Sequence[str]) -> dict[str, str]:
    """Names without the prefix that all share, as in ``l_orderkey``, ``l_partkey``."""
    heads = {re.split(r"[_. ]", n.lower(), maxsplit=1)[0] for n in names}
    cut = len(heads.pop()) + 1 if len(names) > 2 and len(heads) == 1 else 0
    return {n: n[cut:] or n for n in names}


def similarity(target: str, source: str) -> float:
    """0 to 1; 1 for the same words in any order."""
    ours, theirs = words(target), words(source)
    if not ours or not theirs:
        return 0.0
    if name_key(target) == name_key(source):
        return 1.0
    if set(ours) == set(theirs):
        return 0.98
    if _weighty(ours) == _weighty(theirs):
        return 0.95
    shared = len(set(ours) & set(theirs)) / len(set(ours) | set(theirs))
    letters = difflib.SequenceMatcher(None, "".join(ours), "".join(theirs)).ratio()
    return max(0.95 * shared, 0.9 * letters if letters > 0.7 else 0.0, 0.5 * letters)
