"""All cases of the features, by hand: data only, for the oracle, for batch and for the streams alike."""

from __future__ import annotations

from tests.oracle.features.cases_alerts import ALERTS
from tests.oracle.features.cases_inventory import INVENTORY
from tests.oracle.features.cases_sales import SALES
from tests.oracle.features.cases_segments import SEGMENTS

CASES = (*SALES, *SEGMENTS, *ALERTS, *INVENTORY)

KEYS = {
    "sales_metrics": "metric_id",
    "customer_segments": "customer_id",
    "anomaly_alerts": "alert_id",
    "inventory_insights": "product_id",
}
"""The key of each table of features."""
