"""Training of the churn model, its audit, and scores in batch, by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from c360.models.churn import INPUTS, ChurnModel, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

SEED = 360
HELD_OUT = 0.25
"""Share of the moments, the newest, that the model is measured on and does not learn from."""

BASELINE = 0.5
"""The area under the curve of a model that knows nothing."""


@dataclass(frozen=True)
class Trained:
    """A model and how it did: ``auc`` on the held-out moments, rows and churned by part."""

    model: ChurnModel
    metrics: Mapping[str, Any]

    @property
    def refusal(self) -> str | None:
        """Why it may not become current, None if it may."""
        if not self.model.finite:
            return "a coefficient is not a finite number"
        if not self.metrics["auc"] > BASELINE:
            return f"its area under the curve is {self.metrics['auc']:.3f}, not above {BASELINE}"
        return None


def inputs(rows: pl.DataFrame) -> NDArray[np.float64]:
    """The model's inputs by row, in the order of ``INPUTS``, of rows with the columns of the features' table."""
    import polars as pl

    silence = (pl.col("effective_at") - pl.col("last_order_at")).dt.total_microseconds()
    found = rows.select(
        pl.col("orders").cast(pl.Float64).log1p().alias(INPUTS[0]),
        pl.col("spend").cast(pl.Float64).log1p().alias(INPUTS[1]),
        (silence / 86_400e6).alias(INPUTS[2]),
    )
    return found.to_numpy()


def train(rows: pl.DataFrame) -> Trained:
    """Fit on the older moments of a training set and measure on the newest.

    Raises:
        ModelError: there are too few moments, or one of the two parts holds only one kind of customers.
    """
    import polars as pl
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    moments = rows["label_time"].unique().sort()
    held = max(1, round(HELD_OUT * moments.len()))
    newest = pl.col("label_time").is_in(moments.tail(held).implode())
    parts = {"trained": rows.filter(~newest), "held_out": rows.filter(newest)}
    for name, part in parts.items():
        if part["churned"].n_unique() < 2:
            raise ModelError(
                f"Of {part.height} {name} rows none has churned, or all have", "let more months of orders come in"
            )
    scaler, regression = StandardScaler(), LogisticRegression(random_state=SEED, max_iter=1000)
    fitted = make_pipeline(scaler, regression).fit(inputs(parts["trained"]), parts["trained"]["churned"].to_numpy())
    scores = fitted.predict_proba(inputs(parts["held_out"]))[:, 1]
    model = ChurnModel(
        tuple(map(float, scaler.mean_)),
        tuple(map(float, scaler.scale_)),
        tuple(map(float, regression.coef_[0])),
        float(regression.intercept_[0]),
    )
    counts = {f"{name}_rows": part.height for name, part in parts.items()}
    churned = {f"{name}_churned": int(part["churned"].sum()) for name, part in parts.items()}
    auc = float(roc_auc_score(parts["held_out"]["churned"].to_numpy(), scores))
    return Trained(model, {"auc": auc, "moments": moments.len(), **counts, **churned})


def predict(model: ChurnModel, rows: pl.DataFrame) -> NDArray[np.float64]:
    """The probability of churn by row, by scikit-learn's own ``predict_proba`` over the model's numbers."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler, regression = StandardScaler(), LogisticRegression()
    scaler.mean_, scaler.scale_ = np.array(model.mean), np.array(model.scale)
    scaler.n_features_in_ = len(INPUTS)
    regression.coef_, regression.intercept_ = np.array([model.coefficients]), np.array([model.intercept])
    regression.classes_ = np.array([False, True])
    found: NDArray[np.float64] = regression.predict_proba(scaler.transform(inputs(rows)))[:, 1]
    return found
