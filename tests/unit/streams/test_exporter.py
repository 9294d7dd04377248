"""The exporter as a process of the stack, in a home without any Flink; and Flink's own reporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

from c360.engines.flink_conf import flink_conf
from c360.engines.stack import Stack
from c360.settings import Settings
from tests.conftest import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_a_home_without_flink_is_told_as_it_is_and_on_this_machine_only(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", metrics_port=free_port(), flink_port=free_port())
    with Stack(settings).running("metrics") as stack:
        [engine] = stack.status()
        text = httpx.get(engine.address, timeout=30, trust_env=False).text
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["c360_engine_up", "metrics"] == 1
    assert found["c360_stream_running", "events"] == 0
    assert found["c360_stream_wanted", "events"] == 1
    assert found["c360_stream_scrape_error", "events"] == 0
    assert ("c360_stream_lag_records", "events") not in found
    assert engine.address.startswith("http://127.0.0.1:")


def test_flinks_own_reporter_is_on_where_ports_are_given(tmp_path: Path) -> None:
    assert not [key for key in flink_conf(Settings(home=tmp_path)) if "reporter" in key]
    conf = flink_conf(Settings(home=tmp_path, flink_reporter_ports="9249-9250"))
    assert conf["metrics.reporter.prometheus.port"] == "9249-9250"
