from __future__ import annotations

import pytest

from c360.engines.spark_faults import faults_named
from c360.errors import EngineError


@pytest.mark.parametrize(
    ("cause", "mend"),
    [
        ("java.io.IOException: No space left on device", "free disk space and rerun"),
        ("org.sqlite.SQLiteException: [SQLITE_BUSY] (database is locked)", "keeps the catalog locked"),
        ("java.lang.OutOfMemoryError: Java heap space", "raise C360_SPARK_MEMORY"),
    ],
)
def test_a_failure_of_the_machine_is_said_with_its_mend(cause: str, mend: str) -> None:
    from pyspark.errors import PySparkException

    failure = PySparkException(
        f"Job aborted due to stage failure: Task 0 failed\n\tat some.Frame\nCaused by: {cause}\n"
    )
    with pytest.raises(EngineError) as raised, faults_named():
        raise failure
    assert mend in raised.value.mend
    assert raised.value.problem == f"Spark failed: Caused by: {cause}"
    assert raised.value.__cause__ is failure


def test_other_failures_pass_unchanged() -> None:
    from pyspark.errors import AnalysisException

    for failure in (AnalysisException("[UNRESOLVED_COLUMN] a column"), ValueError("Permission denied")):
        with pytest.raises(type(failure)) as raised, faults_named():
            raise failure
        assert raised.value is failure
