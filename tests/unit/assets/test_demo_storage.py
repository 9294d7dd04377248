"""Dagster's own storage on a disk that takes no writes: one sentence with its mend, not a driver's traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from c360.errors import LakehouseError
from c360_assets.demo.faults import storage_named
from tests.faulty import bound_by_permissions, files_up_to

ROOT = Path(__file__).parents[3]
OPEN = """
import sys
from pathlib import Path
from c360.errors import C360Error
from c360_assets.demo.faults import storage_named
import dagster

home = Path(sys.argv[1])
try:
    with storage_named(home), dagster.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
except C360Error as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("fault", "mode", "mend"),
    [
        (files_up_to(8_000), 0o755, "disk I/O error). Mend: free disk space and run again."),
        (bound_by_permissions(), 0o555, "). Mend: make the folder writable, or set C360_HOME to one that is."),
    ],
    ids=["full", "read-only"],
)
def test_storage_that_takes_no_writes(tmp_path: Path, fault: list[str], mode: int, mend: str) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    tmp_path.chmod(mode)
    try:
        command = [*fault, sys.executable, "-c", OPEN, str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    finally:
        tmp_path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path} takes no more writes (")
    assert done.stdout.rstrip().endswith(mend)


def test_other_failures_pass(tmp_path: Path) -> None:
    for error in (
        ValueError("a defect of ours"),
        FileNotFoundError(2, "no such file"),
        OperationalError("select 1", {}, Exception("no such table: runs")),
        LakehouseError("said already", "so"),
    ):
        with pytest.raises(type(error)) as raised, storage_named(tmp_path):
            raise error
        assert raised.value is error
