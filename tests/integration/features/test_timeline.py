"""The sorted state of inventory against a sorted map of Java's, by chance."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from c360.engines import flink_home, jars
from c360.engines.compiler import compile_java
from c360.engines.java import find_java
from c360.streams.functions import functions_jar

if TYPE_CHECKING:
    from c360.settings import Settings

pytestmark = pytest.mark.integration
TRIAL = Path(__file__).with_name("TimelineTrial.java")


def test_a_timeline_is_a_sorted_map_and_leaves_nothing_behind(settings: Settings, tmp_path: Path) -> None:
    path = jars.class_path([functions_jar(settings), *flink_home.class_path(flink_home.install())])
    compile_java(settings, [TRIAL], tmp_path, ("-cp", path), ("The trial does", "mend it"))
    command = [str(find_java(settings).executable), "-cp", f"{tmp_path}:{path}", "c360.TimelineTrial", "30", "6000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    # So many pages of at most 32 places are more than two levels.
    assert int(done.stdout) > 32
