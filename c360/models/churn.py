"""The churn model: a logistic regression over what a row of ``features.customer_segments`` says, as one JSON document.

Each input is a function of the row alone, never of a clock, so that training, batch and stream see the same. A version
is named after what is in it; which one is current says a pointer, which changes at once or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from c360.errors import C360Error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "churn"
INPUTS = ("log_orders", "log_spend", "days_since_last_order")
"""ln(1 + orders), ln(1 + spend), and days from last_order_at to effective_at: what the silence had come to."""

MODEL, METRICS, CURRENT = "model.json", "metrics.json", "current.json"


class ModelError(C360Error):
    """A model is missing, damaged, or not fit for use."""


@dataclass(frozen=True)
class ChurnModel:
    """Probability = 1 / (1 + exp(-(intercept + Σ coefficient * (input - mean) / scale))), in the order of INPUTS."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    @property
    def version(self) -> str:
        """The same numbers give the same version."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:12]

    @property
    def finite(self) -> bool:
        """Whether every number can be computed with."""
        numbers = (*self.mean, *self.scale, *self.coefficients, self.intercept)
        return all(map(math.isfinite, numbers)) and all(self.scale)

    def text(self) -> str:
        """The document. Numbers are written so that reading them gives the same doubles."""
        return json.dumps({"inputs": INPUTS, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> ChurnModel:
        """Read a document; ModelError if it is none of this form."""
        try:
            found = json.loads(text)
            mean, scale, coefficients = (tuple(map(float, found[name])) for name in ("mean", "scale", "coefficients"))
            if tuple(found["inputs"]) != INPUTS or {len(mean), len(scale), len(coefficients)} != {len(INPUTS)}:
                raise ValueError(f"other inputs than {', '.join(INPUTS)}")
            return cls(mean, scale, coefficients, float(found["intercept"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"A model of churn cannot be read ({error})", "train it again: materialise models/churn"
            ) from None


def folder(home: Path) -> Path:
    """Where the versions of a home folder lie."""
    return home / "models" / NAME


def save(home: Path, model: ChurnModel, metrics: Mapping[str, Any]) -> Path:
    """Write a version with its metrics, which does not make it current; its folder."""
    target = folder(home) / model.version
    target.mkdir(parents=True, exist_ok=True)
    _replace(target / METRICS, json.dumps(dict(metrics), indent=1, sort_keys=True) + "\n")
    _replace(target / MODEL, model.text() + "\n")
    return target


def register(home: Path, version: str) -> None:
    """Make a saved version the current one; ModelError if it cannot be read."""
    load(home, version)
    _replace(folder(home) / CURRENT, json.dumps({"version": version}) + "\n")


def load(home: Path, version: str) -> ChurnModel:
    """A saved version; ModelError if it is missing or damaged."""
    path = folder(home) / version / MODEL
    try:
        model = ChurnModel.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror})", "train it again: materialise models/churn"
        ) from None
    if model.version != version:
        raise ModelError(f"{path} holds version {model.version}", "bring the file back, or train the model again")
    return model


def current(home: Path) -> ChurnModel:
    """The current version; ModelError if there is none."""
    try:
        version = str(json.loads((folder(home) / CURRENT).read_text(encoding="utf-8"))["version"])
    except FileNotFoundError:
        raise ModelError("There is no model of churn yet", "materialise models/churn in Dagster first") from None
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{folder(home) / CURRENT} cannot be read ({error})", "materialise models/churn again"
        ) from None
    return load(home, version)


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
