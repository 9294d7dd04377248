"""What upkeep may drop: rows whose time is over, and snapshots that nothing needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from c360.contracts import Column, PartitionBy, load_contracts, to_arrow
from c360.errors import LakehouseError
from c360.lakehouse import Lakehouse
from c360.lakehouse.maintenance import Policy, consumers, expirable
from c360.lakehouse.retention import Rule, retain, rule_of
from tests.unit.lakehouse.shapes import commit, contract, ids, put, things

NAME = contract().name
FOREVER = Policy(keep_snapshots_for=timedelta(days=3650))
NOTHING = Policy(keep_snapshots_for=timedelta(0), keep_snapshots_at_least=1)
LATER = datetime.now(UTC) + timedelta(days=1)


def at(day: int, month: int = 1) -> datetime:
    return datetime(2025, month, day, tzinfo=UTC)


class TestRetention:
    def test_rows_go_by_the_time_they_are_partitioned_by(self, lake: Lakehouse) -> None:
        of = contract(partitioning=(PartitionBy("day", "month"),), retention_days=30)
        lake.ensure(of)
        put(lake, NAME, things(range(40)))
        undated = pa.table({"id": [99], "name": [None], "day": [None]}, schema=to_arrow(of))
        put(lake, NAME, undated)
        assert retain(lake, of, at(31), "r") == 0
        assert retain(lake, of, at(5, 2), "r") == 5
        assert ids(lake.read(NAME)) == [*range(5, 40), 99]
        assert retain(lake, of, at(5, 2), "r") == 0
        assert retain(lake, of, at(1, 6), "r") == 35
        assert ids(lake.read(NAME)) == [99]

    def test_bronze_goes_by_batch_date(self, lake: Lakehouse) -> None:
        columns = (Column("id", "long"), Column("_batch_date", "date"), Column("at", "timestamp"))
        of = contract(
            columns, name="bronze.x", partitioning=(PartitionBy("_batch_date", "identity"),), retention_days=90
        )
        lake.ensure(of)
        days = [date(2025, 1, 1), date(2025, 1, 2), date(2025, 1, 3)]
        put(lake, of.name, pa.table({"id": [1, 2, 3], "_batch_date": days, "at": [at(1)] * 3}))
        assert retain(lake, of, datetime(2025, 4, 2, tzinfo=UTC), "r") == 1
        assert ids(lake.read(of.name)) == [2, 3]

    def test_of_a_version_history_what_was_in_force_stays(self, lake: Lakehouse) -> None:
        columns = (
            Column("key", "string", required=True),
            Column("id", "long"),
            Column("at", "timestamp", required=True),
        )
        of = contract(columns, retention_days=10, version_column="at", business_key=("key",), primary_key=("key", "at"))
        lake.ensure(of)
        history = {"a": [1, 3, 5, 20], "b": [2], "c": [19, 21], "d": [4, 10]}
        rows = [(k, 10 * (i + 1) + n, at(day)) for i, (k, ds) in enumerate(history.items()) for n, day in enumerate(ds)]
        put(lake, NAME, pa.table([pa.array(c) for c in zip(*rows, strict=True)], names=["key", "id", "at"]))
        # The cutoff is January 10: of a, the version of the 5th was in force; d's began at that very moment.
        assert retain(lake, of, at(20), "r") == 3
        assert ids(lake.read(NAME)) == [12, 13, 20, 30, 31, 41]
        assert retain(lake, of, at(20), "r") == 0

    def test_each_contract_forgets_in_a_way_that_fits_it(self) -> None:
        rules = {name: rule_of(c) for name, c in load_contracts().items()}
        assert {rules[n] for n in rules if n.startswith("bronze.")} == {Rule("older", "_batch_date")}
        assert rules["silver.orders"] == Rule("older", "ordered_at")
        assert rules["silver.events"] == Rule("older", "event_timestamp")
        assert rules["silver.customers"] == Rule("superseded", "updated_at")
        assert rules["silver.consents"] == Rule("superseded", "updated_at")
        assert rules["silver.rejected"] == Rule("older", "batch_date")
        assert rules["gold.dim_date"] is None

    def test_a_contract_may_name_the_column(self) -> None:
        named = replace(contract(retention_days=1), properties={"c360.retention-column": "day"})
        assert rule_of(named) == Rule("older", "day")
        assert rule_of(contract()) is None

    def test_it_does_not_read_the_clock(self, lake: Lakehouse) -> None:
        of = contract(partitioning=(PartitionBy("day", "month"),), retention_days=30)
        lake.ensure(of)
        with pytest.raises(LakehouseError, match="has no time zone"):
            retain(lake, of, datetime(2025, 1, 1), "r")  # noqa: DTZ001


class TestExpiry:
    @pytest.fixture
    def line(self, lake: Lakehouse) -> list[int]:
        """Published snapshots, oldest first: the base and five commits."""
        lake.ensure(contract())
        base = lake.snapshot(NAME)
        assert base is not None
        return [base, *(put(lake, NAME, things([i])) for i in range(5))]

    def test_only_the_newest_is_indispensable(self, lake: Lakehouse, line: list[int]) -> None:
        assert expirable(lake.table(NAME), [], LATER, NOTHING) == line[:-1]

    def test_the_young_and_the_last_few_stay(self, lake: Lakehouse, line: list[int]) -> None:
        assert expirable(lake.table(NAME), [], LATER, FOREVER) == []
        assert expirable(lake.table(NAME), [], LATER, replace(NOTHING, keep_snapshots_at_least=3)) == line[:-3]
        young = lake.history(NAME)[1].committed_at + timedelta(hours=1)
        age = Policy(keep_snapshots_for=timedelta(hours=1), keep_snapshots_at_least=1)
        assert expirable(lake.table(NAME), [], young, age) == line[:-2]

    def test_a_consumer_keeps_all_that_came_after_what_it_read(self, lake: Lakehouse, line: list[int]) -> None:
        assert expirable(lake.table(NAME), [line[2], line[4]], LATER, NOTHING) == line[:2]
        assert expirable(lake.table(NAME), [424242], LATER, NOTHING) == line[:-1]

    def test_tags_keep_one_snapshot_and_branches_their_own(self, lake: Lakehouse, line: list[int]) -> None:
        lake.tag(NAME, "t", line[1])
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([77]))
            branch = staged.branch
            staged.append(things([78]))
        put(lake, NAME, things([79]))
        assert expirable(lake.table(NAME), [], LATER, NOTHING) == [line[0], *line[2:-1]]
        assert ids(lake.read(NAME, ref=branch)) == [0, 1, 2, 3, 4, 77, 78]

    def test_the_ledger_is_kept_behind_upkeep(self, lake: Lakehouse) -> None:
        of = contract(partitioning=(PartitionBy("day", "month"),), retention_days=1)
        lake.ensure(of)
        base = lake.snapshot(NAME)
        put(lake, NAME, things(range(10)), "data")
        retain(lake, of, at(5), "upkeep")
        retain(lake, of, at(8), "upkeep")
        assert expirable(lake.table(NAME), [], LATER, NOTHING) == [base]

    def test_the_newest_commit_of_each_stream_is_kept_with_all_after_it(self, lake: Lakehouse) -> None:
        lake.ensure(contract())
        for number, job in enumerate(("aaaaaaaaaaaa01", "bbbbbbbbbbbb01", "aaaaaaaaaaaa02", "aaaaaaaaaaaa02")):
            lake.table(NAME).append(things([number]), snapshot_properties={"flink.job-id": job})
        put(lake, NAME, things([9]))
        line = [each.snapshot_id for each in lake.history(NAME)][::-1]
        assert expirable(lake.table(NAME), [], LATER, NOTHING) == line[:2]
        gone = replace(NOTHING, keep_streams_for=timedelta(0))
        assert expirable(lake.table(NAME), [], LATER, gone) == line[:-1]

    def test_what_was_rolled_back_may_go(self, lake: Lakehouse, line: list[int]) -> None:
        lake.rollback(NAME, line[3])
        assert expirable(lake.table(NAME), [], LATER, NOTHING) == [*line[:3], *line[4:]]

    def test_consumers_are_found_in_their_own_ledgers(self, lake: Lakehouse, line: list[int]) -> None:
        for i, target in enumerate(("silver.a", "silver.b")):
            lake.ensure(contract(name=target))
            put(lake, target, things([1]), sources={NAME: line[0], "bronze.z": 1})
            put(lake, target, things([1]), sources={NAME: line[i + 1]})
        lake.ensure(contract(name="silver.c"))
        assert consumers(lake) == {NAME: {"silver.a": line[1], "silver.b": line[2]}}

    def test_a_policy_that_endangers_writers_is_refused(self) -> None:
        with pytest.raises(LakehouseError, match="younger than a day"):
            Policy(keep_orphans_for=timedelta(hours=1))
        with pytest.raises(LakehouseError, match="at least one"):
            Policy(keep_snapshots_at_least=0)
