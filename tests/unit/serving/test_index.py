"""An index holds what its tables hold at one release, and only what has changed is made again."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from c360.errors import LakehouseError
from c360.lakehouse import Lakehouse
from c360.serving.index import DamagedIndexError
from c360.serving.model import SOURCES, TABLES
from c360.serving.release import release
from c360.serving.store import Store
from tests.unit.serving.company import Company, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from c360.serving.build import Manifest
    from c360.serving.index import Index
    from c360.settings import Settings

KEY = b"k" * 32


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lakehouse]:
    with Lakehouse(settings) as lake:
        yield lake


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.serving_dir)


def plain(value: Any) -> Any:
    """A value as the documents write it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value


def expected(company: Company) -> dict[tuple[str, str], Any]:
    """Documents by kind and key, from the rows alone."""
    found: dict[tuple[str, str], Any] = {}
    for source in SOURCES:
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in company.rows[source.table]:
            parts = [row[name] for name in source.key]
            if None not in parts:
                groups["|".join(map(str, parts))].append(row)
        for key, rows in groups.items():
            records = [{n: plain(v) for n, v in row.items() if n not in source.apart and n[0] != "_"} for row in rows]
            found[source.kind, key] = records if source.many else records[0]
    return found


def documents(index: Index) -> dict[tuple[str, str], Any]:
    with sqlite3.connect(index.folder / "index.sqlite") as db:
        keys = db.execute("SELECT kind, key FROM document").fetchall()
    return {(kind, key): json.loads(index.document(kind, key) or b"") for kind, key in keys}


def canonical(documents: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """With arrays in an order of their own, so that they can be compared."""
    return {k: sorted(v, key=repr) if isinstance(v, list) else v for k, v in documents.items()}


def served(lake: Lakehouse, store: Store, *, full: bool = False) -> tuple[Index, Manifest]:
    manifest = store.build(lake, release(lake, TABLES), KEY, full=full)
    store.serve(manifest.release)
    return store.open(manifest.release), manifest


def test_every_document_is_the_rows_it_is_made_of(lake: Lakehouse, store: Store) -> None:
    company = Company(lake)
    company.publish()
    index, manifest = served(lake, store)
    assert canonical(documents(index)) == canonical(expected(company))
    for source in SOURCES:
        counted = manifest.kinds[source.kind]
        assert counted["rows"] + counted["without_key"] == len(company.rows[source.table])
    for source in SOURCES:
        for (kind, _), records in documents(index).items():
            if kind == source.kind and source.many:
                keys = [tuple(record[name] for name in source.order if record[name] is not None) for record in records]
                whole = [key for key in keys if len(key) == len(source.order)]
                assert whole == sorted(whole, reverse=True)
    found = dict(index.select("SELECT customer_id, recency_days FROM customer", ()))
    assert found == {row["customer_id"]: row["recency_days"] for row in company.rows["gold.customer_360"]}


def test_a_second_release_is_made_from_the_first_where_nothing_changed(lake: Lakehouse, store: Store) -> None:
    company = Company(lake)
    company.publish()
    first, _ = served(lake, store)
    before = documents(first)
    customers = company.rows["gold.customer_360"]
    gone, changed = customers.pop(7), customers[11]
    changed["full_name"], changed["email"], changed["segment"] = "Nova Jméno", "nova@example.com", "VIP"
    for row in customers:
        row["recency_days"] = (row["recency_days"] or 0) + 1
    company.rows["gold.fact_orders"] = [o for o in company.rows["gold.fact_orders"] if o["customer_id"] != "C0000003"]
    company.publish()
    second, manifest = served(lake, store)
    assert canonical(documents(second)) == canonical(expected(company))
    assert manifest.kinds["customer"]["made"] == 1
    assert {kind: each["made"] for kind, each in manifest.kinds.items() if kind != "customer" and each["made"]} == {}
    assert second.document("customer", gone["customer_id"]) is None
    assert second.select("SELECT count(*) FROM customer WHERE customer_id = ?", (gone["customer_id"],)) == [(0,)]
    recency = dict(second.select("SELECT customer_id, recency_days FROM customer", ()))
    assert recency == {row["customer_id"]: row["recency_days"] for row in customers}
    full, _ = served(lake, Store(store.folder.with_name("full")), full=True)
    assert documents(full) == documents(second)
    searched = "SELECT * FROM customer ORDER BY customer_id"
    assert full.select(searched, ()) == second.select(searched, ())
    assert documents(first) == before


def test_an_index_under_another_key_is_made_anew(lake: Lakehouse, store: Store) -> None:
    company = Company(lake)
    company.publish()
    served(lake, store)
    company.publish()
    rekeyed = store.build(lake, release(lake, TABLES), b"another key" * 3)
    assert rekeyed.kinds["customer"]["made"] == len(company.rows["gold.customer_360"])
    full = Store(store.folder.with_name("full"))
    assert full.build(lake, release(lake, TABLES), b"another key" * 3, full=True).kinds == rekeyed.kinds
    searched = "SELECT * FROM customer ORDER BY customer_id"
    assert store.open(rekeyed.release).select(searched, ()) == full.open(rekeyed.release).select(searched, ())


def test_a_release_is_of_one_publication_even_while_the_next_is_half_published(lake: Lakehouse) -> None:
    company = Company(lake, customers=5)
    company.publish()
    first = release(lake, TABLES)
    assert set(first.snapshots) >= set(TABLES)
    company.publish(tables=tuple(table for table in TABLES if table != "gold.customer_360"))
    assert release(lake, TABLES).snapshots == first.snapshots
    between = datetime.now(UTC)
    company.publish(tables=("gold.customer_360",), run="run-2")
    assert release(lake, TABLES).id != first.id
    assert release(lake, TABLES, as_of=between).snapshots == first.snapshots
    with pytest.raises(LakehouseError, match="has no snapshot as old as"):
        release(lake, TABLES, as_of=first.published_at - timedelta(days=1))


@pytest.mark.parametrize("damage", ["cut", "flip", "manifest", "gone"])
def test_a_damaged_index_is_not_opened_and_is_built_again(lake: Lakehouse, store: Store, damage: str) -> None:
    company = Company(lake, customers=20)
    company.publish()
    _, manifest = served(lake, store)
    path = store.folder / manifest.release / "index.sqlite"
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flip":
        path.write_bytes(whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:])
    elif damage == "manifest":
        (path.parent / "manifest.json").write_text("{}")
    else:
        path.unlink()
    with pytest.raises(DamagedIndexError):
        store.open(manifest.release)
    index, _ = served(lake, store)
    assert canonical(documents(index)) == canonical(expected(company))


def test_a_document_that_changes_under_an_open_index_is_not_given_out(lake: Lakehouse, store: Store) -> None:
    Company(lake, customers=5).publish()
    index, _ = served(lake, store)
    with sqlite3.connect(index.folder / "index.sqlite") as db:
        db.execute(
            "UPDATE document SET body = replace(CAST(body AS TEXT), 'example', 'exbmple') WHERE kind = 'customer'"
        )
    with pytest.raises(DamagedIndexError):
        index.document("customer", "C0000001")


def test_an_open_index_outlives_its_folder_for_every_thread(lake: Lakehouse, store: Store) -> None:
    company = Company(lake, customers=40)
    company.publish()
    index, manifest = served(lake, store)
    keys = [row["customer_id"] for row in company.rows["gold.customer_360"]]
    shutil.rmtree(store.folder / manifest.release)

    def read(_: int) -> list[Any]:
        return [json.loads((index.customer(key) or (b"",))[0])["customer_id"] for key in keys * 5]

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(read, range(24))) == [keys * 5] * 24
    with pytest.raises(DamagedIndexError):
        store.open(manifest.release)


def test_old_indexes_are_removed_but_never_the_served_one(lake: Lakehouse, store: Store) -> None:
    company = Company(lake, customers=5)
    releases: list[str] = []
    for _ in range(4):
        company.rows["gold.customer_360"][0]["full_name"] = f"Name {len(releases)}"
        company.publish()
        releases.append(served(lake, store)[1].release)
    store.serve(releases[1])
    assert [each.release for each in store.manifests()] == releases[::-1]
    assert store.prune(2) == [releases[0]]
    assert store.current == releases[1]
    assert [each.release for each in store.manifests()] == [releases[3], releases[2], releases[1]]
