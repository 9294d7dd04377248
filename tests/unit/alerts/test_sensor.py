"""The sensor against a real Dagster instance: real runs, checks and freshness states, looked at again and again."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from pydantic import SecretStr

from c360.settings import Settings
from c360_assets.alerts import SOURCES, Alert, Links, Observation, View, look, sinks_of
from c360_assets.alerts import sinks as sinks_module
from tests.unit.alerts.servers import Hook, hook_server

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

SECRET = "token-in-an-error-99"
BROKEN: set[str] = set()
MEND = "check C360_ALERT_WEBHOOK_URL and that its server is up"
LATER = 10.0
"""Seconds that a look runs ahead of the clock, so that what has just been written is settled."""


def work(name: str) -> dg.MaterializeResult[None]:
    if name in BROKEN:
        raise ValueError(f"disk full, token {SECRET}")
    return dg.MaterializeResult()


@dg.asset
def orders() -> dg.MaterializeResult[None]:
    return work("orders")


@dg.asset(freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=1)))
def stock() -> dg.MaterializeResult[None]:
    return work("stock")


@dg.asset_check(asset=orders)
def rows() -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if "rows mildly" in BROKEN else dg.AssetCheckSeverity.ERROR
    passed = not {"rows", "rows mildly"} & BROKEN
    return dg.AssetCheckResult(passed=passed, severity=severity, description=f"{len(BROKEN)} rows")


@dg.op
def stepping(context: dg.OpExecutionContext) -> None:
    if context.job_name in BROKEN:
        raise dg.Failure(f"{context.job_name} gave up")


@dg.job
def nightly() -> None:
    stepping()


@dg.job
def hourly() -> None:
    stepping()


STREAM = dg.AssetKey(["streams", "a b"])
DEFINITIONS = dg.Definitions(assets=[orders, stock, dg.AssetSpec(STREAM)], asset_checks=[rows], jobs=[nightly, hourly])


class Watch:
    """The sensor's looks, each from the cursor of the one before, and what they wrote to the file."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance, self.settings = instance, settings
        self.cursor: str | None = None
        self.read = 0
        graph = DEFINITIONS.get_repository_def().asset_graph
        self.view = View(instance, graph, Links(settings.dagster_address))

    def look(self, **options: Any) -> list[str]:
        """Headlines that this look told."""
        return [entry["headline"] for entry in self.told(**options)]

    def told(self, ahead: float = LATER, **options: Any) -> list[dict[str, str]]:
        now = datetime.fromtimestamp(time.time() + ahead, UTC)
        log = logging.getLogger("alerts-test")
        done = look(self.view, self.cursor, self.settings, sinks_of(self.settings, log), now, log, **options)
        self.cursor = done.cursor
        assert SECRET not in done.cursor
        file = self.settings.home / "alerts.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        new, self.read = [json.loads(text) for text in lines[self.read :]], len(lines)
        return [{**entry, "headline": f"{entry['kind']} {entry['key']}"} for entry in new]

    def run(self, job: dg.JobDefinition) -> str:
        return job.execute_in_process(instance=self.instance, raise_on_error=False).run_id

    def materialize(self, *assets: Any) -> str:
        return dg.materialize([*assets], instance=self.instance, raise_on_error=False).run_id

    def runless(self, event: Any) -> None:
        self.instance.report_runless_asset_event(event)

    def freshness(self, state: FreshnessState) -> None:
        self.runless(
            FreshnessStateChange(
                key=stock.key,
                new_state=state,
                previous_state=FreshnessState.UNKNOWN,
                state_change_timestamp=time.time(),
            )
        )


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    BROKEN.clear()
    settings = Settings(
        home=tmp_path / "home", alert_sinks="file", dagster_url="https://ui/", catalog_token=SecretStr(SECRET)
    )
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        watch = Watch(instance, settings)
        yield watch


def test_all_failures_of_a_look_are_told_once_and_each_job_recovers(watch: Watch) -> None:
    assert watch.look() == []
    BROKEN.update({"nightly", "hourly"})
    runs = [watch.run(nightly), watch.run(hourly), watch.run(hourly)]
    first, second = watch.told()
    assert (first["headline"], second["headline"]) == ("raised run:nightly", "raised run:hourly")
    assert (first["link"], second["link"]) == (f"https://ui/runs/{runs[0]}", f"https://ui/runs/{runs[1]}")
    assert first["text"] == "stepping: nightly gave up"
    assert second["text"] == "(2 times since the last look) stepping: hourly gave up"
    assert watch.look() == []
    watch.run(nightly)
    assert watch.look() == []
    BROKEN.clear()
    done = watch.run(nightly)
    (recovery,) = watch.told()
    assert (recovery["headline"], recovery["link"]) == ("recovered run:nightly", f"https://ui/runs/{done}")
    assert watch.look() == []


def test_an_unnamed_run_recovers_when_others_have_made_what_it_left(watch: Watch) -> None:
    watch.look()
    BROKEN.add("orders")
    watch.materialize(orders)
    (failure,) = watch.told()
    assert failure["title"] == "Run of orders failed"
    assert failure["text"] == "orders: ValueError: disk full, token ***"
    watch.materialize(stock)
    assert watch.look() == []
    BROKEN.clear()
    watch.materialize(orders, stock)
    assert watch.look() == [failure["headline"].replace("raised", "recovered")]


def test_checks_of_runs_and_of_sensors_red_then_green(watch: Watch) -> None:
    watch.materialize(orders, rows)
    watch.look()
    BROKEN.add("rows mildly")
    watch.materialize(orders, rows)
    watch.runless(dg.AssetCheckEvaluation(asset_key=STREAM, check_name="healthy", passed=False, description="stopped"))
    mild, stream = watch.told()
    assert (mild["headline"], mild["severity"], mild["text"]) == ("raised check:orders:rows", "warning", "1 rows")
    assert stream["headline"] == "raised check:streams/a b:healthy"
    assert (stream["severity"], stream["text"]) == ("error", "stopped")
    assert stream["link"] == "https://ui/assets/streams/a%20b?view=checks&checkDetail=healthy"
    BROKEN.add("rows")
    BROKEN.discard("rows mildly")
    watch.materialize(orders, rows)
    assert watch.look() == ["worsened check:orders:rows"]
    BROKEN.clear()
    watch.materialize(orders, rows)
    watch.runless(dg.AssetCheckEvaluation(asset_key=STREAM, check_name="healthy", passed=True))
    watch.runless(dg.AssetCheckEvaluation(asset_key=STREAM, check_name="healthy", passed=False))
    assert watch.look() == [
        "recovered check:orders:rows",
        "recovered check:streams/a b:healthy",
        "raised check:streams/a b:healthy",
    ]
    assert watch.look() == []


def test_a_green_partition_does_not_hide_a_red_one(watch: Watch) -> None:
    days = dg.StaticPartitionsDefinition(["d1", "d2"])

    @dg.asset(partitions_def=days, check_specs=[dg.AssetCheckSpec("c", asset="daily", partitions_def=days)])
    def daily() -> Iterator[Any]:
        yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="c", passed="c" not in BROKEN)])

    def run(day: str) -> None:
        dg.materialize([daily], instance=watch.instance, partition_key=day)

    BROKEN.add("c")
    run("d1")
    watch.view = replace(watch.view, graph=dg.Definitions([daily]).get_repository_def().asset_graph)
    assert watch.look() == ["raised check:daily:c:d1"]
    BROKEN.clear()
    run("d2")
    assert watch.look() == []
    run("d1")
    assert watch.look() == ["recovered check:daily:c:d1"]


def test_late_tables_are_told_by_their_present_state(watch: Watch) -> None:
    watch.freshness(FreshnessState.FAIL)
    (late,) = watch.told()
    assert (late["headline"], late["severity"]) == ("raised freshness:stock", "error")
    assert (late["title"], late["link"]) == ("stock is late", "https://ui/assets/stock")
    assert watch.look() == []
    watch.freshness(FreshnessState.PASS)
    assert watch.look() == ["recovered freshness:stock"]
    watch.freshness(FreshnessState.WARN)
    assert watch.look() == ["raised freshness:stock"]
    watch.freshness(FreshnessState.FAIL)
    assert watch.look() == ["worsened freshness:stock"]


def test_first_look_at_an_old_instance_tells_what_is_red_now_and_no_history(watch: Watch) -> None:
    BROKEN.update({"nightly", "rows"})
    for _ in range(3):
        watch.run(nightly)
        watch.materialize(orders, rows)
    assert watch.look() == ["raised check:orders:rows"]
    assert watch.look() == []
    BROKEN.clear()
    watch.materialize(orders, rows)
    assert watch.look() == ["recovered check:orders:rows"]


def test_damaged_cursor_starts_anew_and_a_damaged_position_too(watch: Watch) -> None:
    watch.look()
    BROKEN.update({"nightly", "rows"})
    watch.run(nightly)
    watch.materialize(orders, rows)
    assert watch.look() == ["raised run:nightly", "raised check:orders:rows"]
    assert watch.cursor is not None
    watch.cursor = watch.cursor[:-9]
    assert watch.look() == ["raised check:orders:rows"]
    state = json.loads(watch.cursor)
    state["parts"] = {"runs": {"after": "x"}, "checks": 7, "freshness": [None]}
    watch.cursor = json.dumps(state)
    assert watch.look() == []
    watch.run(nightly)
    assert watch.look() == ["raised run:nightly"]


def test_an_emptied_event_log_is_followed_from_its_end(watch: Watch) -> None:
    watch.look()
    state = json.loads(watch.cursor or "")
    for part in ("runs", "checks"):
        state["parts"][part]["after"] = 1_000_000
    watch.cursor = json.dumps(state)
    assert watch.look() == []
    BROKEN.add("nightly")
    watch.run(nightly)
    assert watch.look() == ["raised run:nightly"]


def test_an_event_that_has_just_been_written_waits_for_the_next_look(watch: Watch) -> None:
    watch.look()
    BROKEN.add("nightly")
    watch.run(nightly)
    assert watch.look(ahead=0.0) == []
    assert watch.look() == ["raised run:nightly"]


def test_a_backlog_is_read_in_pages_without_a_gap(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    from c360_assets.alerts import sources

    watch.look()
    BROKEN.add("nightly")
    for _ in range(3):
        watch.run(nightly)
    watch.run(hourly)
    BROKEN.clear()
    watch.run(nightly)
    BROKEN.add("hourly")
    watch.run(hourly)
    monkeypatch.setattr(sources, "PAGE", 2)
    told = [headline for _ in range(6) for headline in watch.look()]
    assert told == ["raised run:nightly", "recovered run:nightly", "raised run:hourly"]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sinks_module, "PAUSE", 0.01)
    with hook_server() as hook:
        yield hook


def with_hook(watch: Watch, hook: Hook) -> None:
    watch.settings = watch.settings.model_copy(
        update={"alert_sinks": "file,webhook", "alert_webhook_url": SecretStr(hook.url)}
    )


def test_a_sink_that_is_down_gets_its_notices_later_and_the_others_get_none_twice(
    watch: Watch, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    with_hook(watch, hook)
    watch.look()
    hook.status = 500
    BROKEN.add("nightly")
    watch.run(nightly)
    assert watch.look() == ["raised run:nightly"]
    assert watch.look() == []
    assert watch.look() == []
    assert [record.message for record in caplog.records if "webhook" in record.message] == [
        f"The webhook answers 500. Mend: {MEND}. 1 notices wait for the next look."
    ]
    watch.look(ahead=3600.0)
    assert len([record for record in caplog.records if "answers 500" in record.message]) == 2
    assert "hook-secret" not in caplog.text + (watch.cursor or "")
    BROKEN.clear()
    watch.run(nightly)
    hook.status = 200
    assert watch.look() == ["recovered run:nightly"]
    (message,) = hook.messages
    assert "1 raised, 1 recovered" in message
    assert message.index("ERROR: Job nightly failed") < message.index("RECOVERED: Job nightly failed")
    assert watch.look() == []
    assert len(hook.messages) == 1


def many(view: View, part: Any, now: datetime) -> tuple[list[Observation], Any]:
    start = part or 0
    return [Alert(f"own:{n}", "error", f"own {n}", "x" * 9_000, "", now) for n in range(start, start + 40)], start + 40


def test_a_sink_that_stays_down_bounds_the_cursor_and_says_what_it_missed(watch: Watch, hook: Hook) -> None:
    with_hook(watch, hook)
    hook.status = 500
    for _ in range(12):
        watch.look(sources={"own": many})
    assert len(watch.cursor or "") < 150_000
    hook.status = 200
    watch.look(sources={})
    text = "\n".join(hook.messages)
    assert "430 older notices are missing here" in text
    assert [n for n in range(480) if f"ERROR: own {n}*" in text] == list(range(430, 480))
    watch.look(sources={})
    assert "\n".join(hook.messages) == text


def test_a_source_that_fails_is_told_and_blinds_no_other(watch: Watch) -> None:
    def broken(view: View, part: Any, now: datetime) -> tuple[list[Observation], Any]:
        raise RuntimeError(f"no access with {SECRET}")

    watch.look()
    BROKEN.add("nightly")
    watch.run(nightly)
    told = watch.told(sources={"own": broken, **SOURCES})
    assert [entry["headline"] for entry in told] == ["raised alerts:own", "raised run:nightly"]
    assert told[0]["text"] == "RuntimeError: no access with ***"
    assert watch.look(sources={"own": broken, **SOURCES}) == []
    assert watch.look(sources={"own": lambda view, part, now: ([], None), **SOURCES}) == ["recovered alerts:own"]


def test_the_sensor_of_the_code_location_keeps_its_cursor(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, hook: Hook
) -> None:
    from c360_assets.definitions import defs

    for name, value in {"HOME": str(watch.settings.home), "ALERT_SINKS": "log,file"}.items():
        monkeypatch.setenv(f"C360_{name}", value)
    repository = defs().get_repository_def()
    sensor = repository.get_sensor_def("alerts")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    cursor: str | None = None
    titles = []
    for step in ("first", "red", "same", "again"):
        if step == "red":
            watch.runless(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(["gold", "dim_date"]), check_name="contract", passed=False
                )
            )
            time.sleep(2.1)
        with dg.build_sensor_context(watch.instance, cursor=cursor, repository_def=repository) as context:
            result = sensor.evaluate_tick(context)
        assert result.run_requests == []
        cursor = result.cursor
        file = watch.settings.home / "alerts.jsonl"
        titles.append([json.loads(text)["title"] for text in file.read_text().splitlines()] if file.exists() else [])
    told = ["Check contract of gold/dim_date failed"]
    assert titles == [[], told, told, told]
