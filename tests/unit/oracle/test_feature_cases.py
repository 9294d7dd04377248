"""The oracle of the features against every case by hand, in the order that is told and in others."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.oracle.features.cases import CASES, KEYS
from tests.oracle.features.shop import features_of
from tests.oracle.features.told import Case

IDS = [f"{case.table}-{case.name}" for case in CASES]


def by_key(rows: list[dict[str, object]], table: str) -> dict[object, dict[str, object]]:
    return {row[KEYS[table]]: row for row in rows}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_oracle_finds_what_was_worked_out_by_hand(case: Case) -> None:
    found = features_of(case.changes, case.as_of)[case.table]
    assert by_key(found, case.table) == by_key([*case.rows], case.table)


@pytest.mark.parametrize("case", [case for case in CASES if len(case.changes) > 1], ids=lambda case: case.name)
def test_the_order_in_which_changes_come_does_not_matter(case: Case) -> None:
    of = Random(1)
    for _ in range(3):
        changes = of.sample(case.changes, len(case.changes))
        assert by_key(features_of(changes, case.as_of)[case.table], case.table) == by_key([*case.rows], case.table)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_case_with_ids_of_its_own_is_the_same_case(case: Case) -> None:
    apart = case.apart()
    assert by_key(features_of(apart.changes, apart.as_of)[case.table], case.table) == by_key([*apart.rows], case.table)


def test_cases_can_be_told_apart_by_name() -> None:
    assert max(Counter(IDS).values()) == 1
