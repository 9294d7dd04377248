"""The ledger, the counts and the clean tables against an independent reading of the landing files."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest

from mock_data import RATES, Generated
from tests.unit.mock_data.reader import FORMATS, RULES, Verdict, conformed, primary_key, read, records

ENTITIES = list(RULES)
ORPHANED = {"orders", "order_items", "transactions", "shipments", "events", "stock"}
Reading = dict[str, tuple[dict[tuple[str, int], Verdict], dict[tuple[Any, ...], dict[str, Any]]]]


@pytest.fixture(scope="session")
def reading(tiny: Generated) -> Reading:
    return {entity: read(tiny.landing, entity) for entity in ENTITIES}


@pytest.fixture(scope="session")
def ledger(tiny: Generated) -> dict[str, list[dict[str, Any]]]:
    rows = pq.read_table(tiny.truth / "ledger.parquet").to_pylist()
    return {entity: [r for r in rows if r["entity"] == entity] for entity in ENTITIES}


@pytest.mark.parametrize("entity", ENTITIES)
def test_clean_truth_is_what_a_right_reader_accepts(tiny: Generated, reading: Reading, entity: str) -> None:
    clean = pq.read_table(tiny.truth / "clean" / f"{entity}.parquet").to_pylist()
    by_key = {tuple(row[k] for k in primary_key(entity)): row for row in clean}
    assert len(by_key) == len(clean)
    accepted = reading[entity][1]
    assert by_key.keys() == accepted.keys()
    for key, row in by_key.items():
        assert row == accepted[key]


@pytest.mark.parametrize("entity", ENTITIES)
def test_ledger_tells_every_record_that_is_not_plainly_accepted(
    reading: Reading, ledger: dict[str, list[dict[str, Any]]], entity: str
) -> None:
    verdicts = reading[entity][0]
    told = {(r["file"], r["row"]): (r["outcome"], r["reason"], r["column_name"]) for r in ledger[entity]}
    assert len(told) == len(ledger[entity])
    for place, verdict in verdicts.items():
        if place in told and told[place][0] == "accepted":
            assert verdict == ("accepted", None, None)
        else:
            assert told.pop(place, ("accepted", None, None)) == verdict
    assert {outcome for outcome, _, _ in told.values()} <= {"accepted"}
    assert told.keys() <= verdicts.keys()


@pytest.mark.parametrize("entity", ENTITIES)
def test_each_defect_is_what_it_says(
    tiny: Generated, ledger: dict[str, list[dict[str, Any]]], reading: Reading, entity: str
) -> None:
    parsed = {
        path.relative_to(tiny.landing).as_posix(): list(records(path)) for path in tiny.landing.glob(f"*/{entity}/*/*")
    }
    key = primary_key(entity)
    version = key[-1] if len(key) > 1 else {"stock": "moved_at", "events": "event_timestamp"}[entity]
    seen: Counter[str] = Counter()
    for row in ledger[entity]:
        raw, fault = parsed[row["file"]][row["row"] - 1]
        defect, day = row["defect"], row["file"].split("/")[2]
        seen[defect] += 1
        if defect in {"malformed_line", "bad_encoding"}:
            assert fault == {"malformed_line": "malformed_record"}.get(defect, defect)
            assert row["key"] is None
            continue
        assert raw is not None
        clean, verdict = conformed(entity, raw)
        if row["outcome"] == "rejected" and defect != "contradictory":
            assert verdict == ("rejected", defect, row["column_name"])
            continue
        assert verdict is None
        business = key if entity in {"stock", "events"} else key[:-1]
        assert row["key"] == "|".join(clean[k] for k in business)
        moment = clean[version].date().isoformat()
        if defect == "late":
            assert 1 <= (pq_date(day) - pq_date(moment)).days <= 30
        elif defect in {"messy", "orphan"}:
            assert day == moment
        if defect in {"messy", "duplicate_formatting"}:
            assert any(str(raw.get(c) or "") != str(v if v is not None else "") for c, v in clean.items())
        if defect == "orphan":
            assert "9999999" in clean[row["column_name"]]
        if defect == "contradictory":
            original = reading[entity][1][tuple(clean[k] for k in key)]
            assert original != clean
        if defect == "duplicate_exact":
            assert raw in [r for rows in parsed.values() for r, _ in rows if r is not raw]
    expected = set(RATES)
    if FORMATS.get(entity) == "parquet":
        expected -= {"malformed_line", "bad_encoding", "bad_type"}
    if entity not in ORPHANED:
        expected -= {"orphan"}
    if entity == "order_items":
        expected -= {"not_allowed"}
    assert set(seen) == expected


def pq_date(text: str) -> Any:
    from datetime import date

    return date.fromisoformat(text)


def test_no_file_ends_with_a_blank_line(tiny: Generated, year: Generated) -> None:
    for made in (tiny, year):  # whether that were a record, readers do not agree
        for path in made.landing.glob("*/*/*/*.csv"):
            assert not path.read_bytes().endswith(b"\n\n")
    assert any(b"\n\n" in path.read_bytes() for path in year.landing.glob("*/*/*/*.csv"))


def test_counts_balance_with_the_files(tiny: Generated, reading: Reading) -> None:
    told = json.loads((tiny.truth / "counts.json").read_text(encoding="utf-8"))
    assert told == tiny.counts
    assert list(told) == ENTITIES
    for entity, (verdicts, accepted) in reading.items():
        counts = told[entity]
        assert counts["generated"] == len(verdicts)
        assert counts["accepted"] == len(accepted)
        outcomes = Counter(v[0] for v in verdicts.values())
        assert counts["deduplicated"] == outcomes["deduplicated"]
        assert counts["rejected"] == Counter(v[1] for v in verdicts.values() if v[0] == "rejected")
        daily: dict[str, Counter[str]] = {}
        for (file, _), verdict in verdicts.items():
            daily.setdefault(file.split("/")[2], Counter())[verdict[0]] += 1
        assert counts["days"].keys() == daily.keys()
        for day, counted in daily.items():
            assert {k: v for k, v in counts["days"][day].items() if v and k != "generated"} == counted
            assert counts["days"][day]["generated"] == counted.total()
    assert sum(v["generated"] for v in told.values()) == tiny.records


def test_the_shares_of_defects_are_the_stated_ones(year: Generated) -> None:
    for name in ("orders", "events", "order_items", "shipments"):
        counts = year.counts[name]
        for defect, n in counts["defects"].items():
            if defect != "orphan":  # all versions of a record are orphaned together
                assert n == pytest.approx(RATES[defect] * counts["accepted"], abs=1.5)
