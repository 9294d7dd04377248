"""What must hold between gold tables whatever the data: sums that agree, keys that meet, versions that join up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

# Each finds the offending rows; none is right.
_CHECKS: Mapping[str, str] = {
    "sales_daily adds up to the dated facts": """
        SELECT coalesce(sum(order_items), 0)::BIGINT, sum(units)::BIGINT, sum(gross_amount), sum(discount_amount),
            sum(net_amount), sum(returned_amount), sum(revenue_amount) FROM sales_daily
        EXCEPT SELECT count(*), sum(quantity)::BIGINT, sum(gross_amount), sum(discount_amount),
            sum(net_amount), sum(returned_amount), sum(revenue_amount) FROM fact_sales WHERE ordered_at IS NOT NULL""",
    "product_performance adds up to the facts of known products that were not cancelled": """
        SELECT coalesce(sum(units_sold), 0)::BIGINT, coalesce(sum(revenue_amount), 0) FROM product_performance
        EXCEPT SELECT coalesce(sum(quantity), 0)::BIGINT, coalesce(sum(revenue_amount), 0)
        FROM fact_sales WHERE NOT is_cancelled AND product_id IN (SELECT product_id FROM product_performance)""",
    "inventory_insights has the products of product_performance": """
        (SELECT product_id FROM product_performance EXCEPT ALL SELECT product_id FROM inventory_insights)
        UNION ALL (SELECT product_id FROM inventory_insights EXCEPT ALL SELECT product_id FROM product_performance)""",
    "a large order amounts to the sum of its facts": """
        SELECT order_id, amount FROM anomaly_alerts WHERE rule = 'large_order'
        EXCEPT SELECT order_id, sum(net_amount) FROM fact_sales GROUP BY order_id""",
    "delivery_performance adds up to the shipments that left": """
        SELECT coalesce(sum(shipments), 0)::BIGINT, coalesce(sum(delivered), 0)::BIGINT,
            coalesce(sum(on_time), 0)::BIGINT, sum(shipping_cost) FROM delivery_performance
        EXCEPT SELECT count(*), count(*) FILTER (is_delivered), count(*) FILTER (is_on_time), sum(shipping_cost)
        FROM fact_logistics WHERE shipped_at IS NOT NULL""",
    "a customer's value is the sum of its facts": """
        SELECT v.customer_id FROM customer_value v LEFT JOIN (
            SELECT customer_id, sum(revenue_amount) AS revenue FROM fact_sales
            WHERE ordered_at <= getvariable('as_of') GROUP BY customer_id) f USING (customer_id)
        WHERE v.revenue_amount <> coalesce(f.revenue, 0)""",
    "customer_360 repeats customer_value": """
        SELECT customer_id, orders, revenue_amount, recency_days, rfm_score FROM customer_value
        EXCEPT SELECT customer_id, orders, revenue_amount, recency_days, rfm_score FROM customer_360""",
    "customer_360 holds every current customer once": """
        (SELECT customer_id FROM dim_customer WHERE is_current AND customer_sk <> -1
            EXCEPT ALL SELECT customer_id FROM customer_360)
        UNION ALL (SELECT customer_id FROM customer_360
            EXCEPT ALL SELECT customer_id FROM dim_customer WHERE is_current AND customer_sk <> -1)""",
    "every order with items was placed: segment_orders is not below orders + cancelled_orders": """
        SELECT customer_id FROM customer_360 WHERE segment_orders < orders + cancelled_orders""",
    "gross = net + discount, revenue = net - returned": """
        SELECT order_item_id FROM fact_sales WHERE gross_amount <> net_amount + discount_amount
            OR revenue_amount <> CASE WHEN is_cancelled THEN 0 ELSE net_amount - returned_amount END""",
    "scores are fifths": """
        SELECT max(members) FROM (SELECT count(*) AS members FROM customer_value WHERE orders > 0 GROUP BY r_score)
        HAVING max(members) - min(members) > 1""",
}

_STAR = {
    "fact_sales": {
        "customer_sk": "dim_customer",
        "product_sk": "dim_product",
        "location_sk": "dim_location",
        "order_date_sk": "dim_date.date_sk",
    },
    "fact_logistics": {
        "customer_sk": "dim_customer",
        "location_sk": "dim_location",
        "ship_date_sk": "dim_date.date_sk",
        "promised_date_sk": "dim_date.date_sk",
        "delivery_date_sk": "dim_date.date_sk",
    },
}


def _all_checks() -> dict[str, str]:
    checks = dict(_CHECKS)
    for fact, keys in _STAR.items():
        for key, target in keys.items():
            dimension, _, column = target.partition(".")
            checks[f"{fact}.{key} has its member in {dimension}"] = (
                f"SELECT {key} FROM {fact} "
                f"WHERE {key} IS NULL OR {key} NOT IN (SELECT {column or key} FROM {dimension})"
            )
    for name in ("customer", "product"):
        checks[f"versions of dim_{name} join up without gap, from 1900 to 9999"] = f"""
            SELECT {name}_id FROM (SELECT *, lead(valid_from) OVER history AS next_from,
                    row_number() OVER history AS number
                FROM dim_{name} WHERE {name}_sk <> -1 WINDOW history AS (PARTITION BY {name}_id ORDER BY valid_from))
            WHERE valid_to <> coalesce(next_from, TIMESTAMP '9999-12-31') OR is_current <> (next_from IS NULL)
                OR version_number <> number OR (number = 1 AND valid_from <> TIMESTAMP '1900-01-01')"""
    return checks


def assert_consistent(tables: Mapping[str, pa.Table], as_of: datetime) -> None:
    """Raise AssertionError naming every invariant that the gold tables break, with how many rows and an example."""
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as connection:
        for name, table in tables.items():
            naive = [
                pa.field(f.name, pa.timestamp("us") if pa.types.is_timestamp(f.type) else f.type) for f in table.schema
            ]
            connection.register(name, table.cast(pa.schema(naive)))
        moment = as_of.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
        connection.execute(f"SET VARIABLE as_of = TIMESTAMP '{moment}'")
        problems = []
        for title, query in _all_checks().items():
            rows = connection.execute(f"SELECT count(*) OVER () AS broken, * FROM ({query}) LIMIT 1").fetchall()
            if rows:
                problems.append(f"not so: {title} ({rows[0][0]} rows, first {rows[0][1:]})")
    assert not problems, "\n  ".join(["the gold tables contradict each other:", *problems])
