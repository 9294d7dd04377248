"""Peers of the job sales-aggregations: each makes the same windows of the same messages, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c360.events import KafkaAdminManager
from c360.events.topics import TopicConfig
from tests.bench.feature_watch import Watch, agree, told_windows
from tests.bench.own_python import own_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from c360.settings import Settings

HERE = Path(__file__).parent
PEERS = ("spark", "quix")
DELAY_HOURS = 24
"""For how long peers keep a window open: they drop what comes later, and read partitions apart."""
LAG_MS = (DELAY_HOURS + 1) * 3_600_000
"""Windows that ended so long before the last order are told by a peer."""


@dataclass(frozen=True)
class Plan:
    """``wanted`` are orders, cancellations and cents of windows, ``order_changes`` the messages that a peer reads."""

    settings: Settings
    folder: Path
    wanted: Mapping[str, tuple[int, int, int]]
    order_changes: int


def measure_peer(name: str, plan: Plan) -> dict[str, Any]:
    """Figures of a peer from its first message to its last window; SystemExit if a window is wrong or missing."""
    topic = f"peer-{name}-sales"
    KafkaAdminManager(plan.settings.kafka_servers).create(TopicConfig(topic, 1, 1, {}))
    load = round(os.getloadavg()[0], 1)
    with _started(_command(name, topic, plan)) as process:
        watch = Watch(plan.settings, [topic], [process.pid])
        process.stdin.write("start\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        spent = watch.until(lambda: _complete(process, topic, plan))
    return {
        "load_before": load,
        "order_changes": plan.order_changes,
        "rows": spent.rows,
        "seconds": round(spent.seconds, 1),
        "order_changes_per_s": round(plan.order_changes / spent.seconds),
        "cpu_us_per_order_change": round(spent.cpu / plan.order_changes * 1e6, 1),
    }


def _command(name: str, topic: str, plan: Plan) -> list[str]:
    settings = plan.settings
    if name == "quix":
        python = own_python(plan.folder, HERE / "feature_quix.txt") / "python"
        return [str(python), str(HERE / "features_in_quix.py"), settings.kafka_servers, topic, str(plan.folder)]
    home = json.dumps({"home": str(settings.home), "kafka_port": settings.kafka_port})
    return [sys.executable, "-m", "tests.bench.features_in_spark", home, topic]


def _complete(process: subprocess.Popen[str], topic: str, plan: Plan) -> bool:
    if agree(told_windows(plan.settings, topic), plan.wanted):
        return True
    if process.poll() is not None:
        raise SystemExit(f"the peer has ended with {process.returncode} before its last window")
    return False


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A peer that waits for a line on its input; it ends with the block."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            while (line := process.stdout.readline()) != "ready\n":
                if not line:
                    raise SystemExit(f"the peer ended with {process.wait()}")
            yield process
        finally:
            process.terminate()
