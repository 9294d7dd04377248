"""The gold layer: Spark SQL files, planned over Iceberg snapshots and staged for audit."""

from __future__ import annotations

from c360_assets.gold.catalogue import GOLD, GoldTable
from c360_assets.gold.runner import GoldBuild, build_gold

__all__ = ["GOLD", "GoldBuild", "GoldTable", "build_gold"]
