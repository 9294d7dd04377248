"""One catalog, two engines: Spark writes to audit branches and keeps tables in order; PyIceberg publishes and reads."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pytest
from typer.testing import CliRunner

from c360.cli.tables import app
from c360.contracts import PartitionBy
from c360.engines.spark import connect
from c360.errors import PublishConflict
from c360.lakehouse import Lakehouse
from c360.lakehouse.maintenance import Policy, maintain
from tests.unit.lakehouse.shapes import commit, contract, ids, put, things

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from c360.settings import Settings

pytestmark = pytest.mark.integration
STRICT = Policy(keep_snapshots_for=timedelta(0), keep_snapshots_at_least=1, small_files_at_least=2)
_numbers = count()


@pytest.fixture(scope="module")
def spark(spark_settings: Settings) -> Iterator[SparkSession]:
    session = connect(spark_settings)
    yield session
    session.stop()


@pytest.fixture(scope="module")
def lake(spark_settings: Settings) -> Iterator[Lakehouse]:
    with Lakehouse(spark_settings) as lake:
        yield lake


@pytest.fixture
def name(lake: Lakehouse) -> str:
    """A table of the test's own, partitioned by month."""
    of = contract(name=f"silver.spark{next(_numbers)}", partitioning=(PartitionBy("day", "month"),))
    lake.ensure(of)
    return of.name


def soon() -> datetime:
    """Later than everything the test has written so far."""
    return datetime.now(UTC) + timedelta(minutes=5)


def files(lake: Lakehouse, name: str) -> set[Path]:
    return {Path(urlparse(t.file.file_path).path) for t in lake.table(name).scan().plan_files()}


def on_disk(lake: Lakehouse, name: str) -> set[Path]:
    return set(Path(urlparse(lake.table(name).location()).path).rglob("*.parquet"))


class TestPublish:
    def test_spark_writes_to_the_branch_and_the_ledger_ends_in_main(
        self, lake: Lakehouse, spark: SparkSession, name: str
    ) -> None:
        base = put(lake, name, things(range(3)))
        with lake.stage(name, commit("spark-run", sources={"silver.x": 2**62}, watermark="2025-01-01")) as staged:
            frame = spark.createDataFrame([(10, "ten", datetime.now(UTC).date())], "id long, name string, day date")
            writer = frame.writeTo(staged.spark_table).option("check-nullability", "false")
            for key, value in staged.spark_options.items():
                writer = writer.option(key, value)
            writer.append()
            assert ids(staged.changed_rows()) == [10]
            assert lake.snapshot(name) == base
            head = staged.publish()
        last = lake.last_commit(name)
        assert last is not None
        assert (last.snapshot_id, last.run_id, last.watermark, last.sources) == (
            head,
            "spark-run",
            "2025-01-01",
            {"silver.x": 2**62},
        )
        # With the options Spark's own snapshot carries the ledger: none was put on top.
        assert [c.run_id for c in lake.history(name)][:2] == ["spark-run", "run"]
        assert spark.table(f"lake.{name}").count() == 4
        assert ids(lake.changes(name, base).rows) == [10]

    def test_sql_on_the_branch_gets_its_ledger_when_it_is_published(
        self, lake: Lakehouse, spark: SparkSession, name: str
    ) -> None:
        put(lake, name, things(range(3)))
        with lake.stage(name, commit("sql-run")) as staged:
            spark.sql(f"INSERT INTO {staged.spark_table} VALUES (10, 'ten', DATE '2025-02-01')").collect()
            spark.sql(f"DELETE FROM {staged.spark_table} WHERE id = 0").collect()
            assert ids(staged.rows()) == [1, 2, 10]
            assert spark.table(f"lake.{name}").count() == 3
            head = staged.publish()
        last = lake.last_commit(name)
        assert last is not None
        assert (last.snapshot_id, last.run_id, last.rows) == (head, "sql-run", 3)
        assert sorted(r.id for r in spark.table(f"lake.{name}").collect()) == [1, 2, 10]

    def test_a_commit_by_spark_to_main_makes_the_publication_conflict(
        self, lake: Lakehouse, spark: SparkSession, name: str
    ) -> None:
        put(lake, name, things(range(3)))
        with lake.stage(name, commit()) as staged:
            staged.append(things([50]))
            spark.sql(f"INSERT INTO lake.{name} VALUES (10, 'ten', DATE '2025-02-01')").collect()
            with pytest.raises(PublishConflict):
                staged.publish()
        assert ids(lake.read(name)) == [0, 1, 2, 10]

    def test_spark_reads_what_a_merge_wrote(self, lake: Lakehouse, spark: SparkSession, name: str) -> None:
        spark.sql(f"INSERT INTO lake.{name} SELECT id, 'spark', DATE '2025-01-01' FROM range(1000)").collect()
        with lake.stage(name, commit()) as staged:
            result = staged.merge(things([5, 6, 5000], "x"), ["id"])
            staged.publish()
        assert (result.inserted, result.replaced) == (1, 2)
        assert ids(lake.read(name)) == [*range(1000), 5000]
        found = spark.sql(f"SELECT id, name FROM lake.{name} WHERE name <> 'spark' ORDER BY id").collect()
        assert [tuple(r) for r in found] == [(5, "x5"), (6, "x6"), (5000, "x5000")]
        assert spark.sql(f"SELECT count(*) AS n FROM lake.{name} WHERE id = 5").collect()[0].n == 1


class TestUpkeep:
    def test_compaction_and_expiry_keep_rows_and_delete_files(
        self, lake: Lakehouse, spark: SparkSession, name: str
    ) -> None:
        for i in range(8):
            put(lake, name, things([i]))
        small = files(lake, name)
        done = maintain(lake, spark, name, now=soon(), policy=STRICT)
        assert (done.rewritten_files, done.written_files) == (8, 1)
        # The newest commit of data stays, behind the compaction, and with it the small files it consists of.
        assert done.expired_snapshots == 8
        assert ids(lake.read(name)) == list(range(8))
        assert on_disk(lake, name) == files(lake, name) | small
        last = lake.last_commit(name)
        assert last is not None
        assert last.run_id == "run"
        put(lake, name, things([100]))
        then = maintain(lake, spark, name, now=soon(), policy=STRICT)
        assert (then.rewritten_files, then.written_files) == (2, 1)
        assert then.deleted_files >= 8
        assert not small & on_disk(lake, name)
        assert ids(lake.read(name)) == [*range(8), 100]
        last = lake.last_commit(name)
        assert last is not None
        assert lake.read(name, snapshot_id=last.snapshot_id).num_rows == 9
        again = maintain(lake, spark, name, now=soon(), policy=STRICT)
        assert (again.rewritten_files, again.expired_snapshots) == (0, 0)

    def test_consumers_tags_and_branches_keep_what_they_need(
        self, lake: Lakehouse, spark: SparkSession, name: str
    ) -> None:
        tagged = put(lake, name, things([0]))
        lake.tag(name, "start", tagged)
        put(lake, name, things([1]))
        read = put(lake, name, things([2]))
        reader = contract(name=f"{name}_reader")
        lake.ensure(reader)
        put(lake, reader.name, things([1]), sources={name: read})
        put(lake, name, things([3]))
        put(lake, name, things([4]))
        with lake.stage(name, commit("unpublished")) as staged:
            staged.append(things([77]))
        put(lake, name, things([5]))
        done = maintain(lake, spark, name, now=soon(), policy=STRICT)
        assert done.kept_for == {reader.name: read}
        assert done.expired_snapshots >= 2
        changes = lake.changes(name, read)
        assert (ids(changes.rows), changes.is_full) == ([3, 4, 5], False)
        assert ids(lake.read(name, ref="start")) == [0]
        assert ids(lake.read(name, ref=staged.branch)) == [0, 1, 2, 3, 4, 77]
        assert ids(lake.read(name)) == [0, 1, 2, 3, 4, 5]

    def test_orphans_go_and_living_files_stay(self, lake: Lakehouse, spark: SparkSession, name: str) -> None:
        put(lake, name, things(range(5)))
        table = lake.table(name)
        living = files(lake, name)
        data = next(iter(living)).parent
        orphan, fresh = data / "orphan.parquet", data / "in-progress.parquet"
        for path in (orphan, fresh):
            path.write_bytes(b"nobody knows me")
        old = time.time() - 10 * 86400
        metadata = Path(urlparse(table.metadata_location).path).parent
        for path in (orphan, *living, *metadata.iterdir()):
            os.utime(path, (old, old))
        done = maintain(lake, spark, name, now=datetime.now(UTC))
        assert done.orphan_files == 1
        assert not orphan.exists()
        assert fresh.exists()
        assert ids(lake.read(name)) == list(range(5))

    def test_the_command_does_both_kinds_of_upkeep(
        self, lake: Lakehouse, spark: SparkSession, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for i in range(6):
            put(lake, name, things([i]))
        monkeypatch.setenv("C360_HOME", str(lake.settings.home))
        monkeypatch.setenv("C360_SPARK_PORT", str(lake.settings.spark_port))
        monkeypatch.setenv("COLUMNS", "200")
        arguments = ["maintain", name, "--retention", "--as-of", "2025-06-01"]
        first = CliRunner().invoke(app, [*arguments, "--json"])
        assert first.exit_code == 0, first.output
        [done] = json.loads(first.output)
        assert (done["table"], done["rewritten_files"], done["removed_rows"]) == (name, 6, 0)
        second = CliRunner().invoke(app, arguments)
        assert name in second.output
        assert ids(lake.read(name)) == list(range(6))

    def test_upkeep_beside_writers_loses_no_commit(self, lake: Lakehouse, spark: SparkSession, name: str) -> None:
        put(lake, name, things([0]))
        stop, written, errors = threading.Event(), [0], []

        def write() -> None:
            number = 1
            while not stop.is_set():
                try:
                    put(lake, name, things([number]), f"run-{number}")
                except PublishConflict:
                    continue
                except Exception as error:  # noqa: BLE001 - judged below
                    errors.append(error)
                    return
                written.append(number)
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                maintain(lake, spark, name, now=soon(), policy=STRICT)
        finally:
            stop.set()
            writer.join(60)
        assert not errors
        assert len(written) > 3
        assert ids(lake.read(name)) == written
        assert spark.table(f"lake.{name}").count() == len(written)
        last = lake.last_commit(name)
        assert last is not None
        assert last.run_id == f"run-{written[-1]}"
