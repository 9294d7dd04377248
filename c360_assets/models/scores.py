"""Churn scores of the stream beside those of batch: the same rows and models, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.streams.feature_parity import newest_rows, require
from c360.streams.features import EFFECTIVE, VERSION
from c360.streams.parity import Difference, settled

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from c360.lakehouse import Lakehouse

SCORES, SEGMENTS = "features.churn_scores", "features.customer_segments"
TOLERANCE = 1e-9
ROW = ("customer_id", VERSION, EFFECTIVE)


def score_parity(lake: Lakehouse, home: Path) -> Difference:
    """How the scores differ from batch, by row of features.

    ``changed`` are scored otherwise than scikit-learn scores that row with that model; ``surplus`` scores of rows that
    are not in the features; ``missing`` customers whose newest row has no score, among the rows that came into effect
    before the newest scored one: the topic keeps only the newest row of each.

    Raises:
        LakehouseError: a table is missing; ModelError: a model that scored a row is missing.
    """
    require(lake, SCORES, SEGMENTS)
    return settled(lambda: _look(lake, home))


def _look(lake: Lakehouse, home: Path) -> Difference:
    import polars as pl

    # Scores first: the row of each is in its topic, and soon in the table.
    scores = pl.DataFrame(pl.from_arrow(lake.read(SCORES))).unique()
    segments = pl.DataFrame(pl.from_arrow(lake.read(SEGMENTS))).unique(ROW)
    rows = scores.join(segments, on=ROW)
    surplus = scores.join(segments, on=ROW, how="anti").select(ROW)
    reached = scores.select(pl.col(EFFECTIVE).max()).item()
    missing = newest_rows(segments, "customer_id", reached).join(scores, on=ROW, how="anti").select(ROW)
    changed = pl.concat(
        [_wrong(home, version, part) for (version,), part in rows.group_by("model_version")] or [surplus.clear()]
    )
    return Difference(SCORES, rows.height, missing, surplus, changed, missing.clear(), reached)


def _wrong(home: Path, version: object, rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    from c360.models.churn import load
    from c360_assets.models.churn import predict

    batch = pl.Series(predict(load(home, str(version)), rows))
    return rows.filter(~((pl.col("score") - batch).abs() <= TOLERANCE)).select(ROW)
