"""The oracle's grouped marts: sales by day, products, deliveries, and what each customer is worth."""

from __future__ import annotations

_SALES_DAILY = """
    CREATE TABLE sales_daily AS
    SELECT f.ordered_at::DATE AS order_date, coalesce(f.sales_channel, 'unknown') AS sales_channel,
        coalesce(l.country_code, 'ZZ') AS country_code,
        count(DISTINCT f.order_id) AS orders, count(*) AS order_items, count(DISTINCT f.customer_id) AS customers,
        sum(f.quantity)::BIGINT AS units, sum(f.gross_amount)::DECIMAL(18,2) AS gross_amount,
        sum(f.discount_amount)::DECIMAL(18,2) AS discount_amount, sum(f.net_amount)::DECIMAL(18,2) AS net_amount,
        sum(f.returned_amount)::DECIMAL(18,2) AS returned_amount,
        sum(f.revenue_amount)::DECIMAL(18,2) AS revenue_amount,
        count(DISTINCT CASE WHEN f.is_cancelled THEN f.order_id END) AS cancelled_orders
    FROM fact_sales f LEFT JOIN dim_location l USING (location_sk)
    WHERE f.ordered_at IS NOT NULL
    GROUP BY ALL
"""

_PRODUCT_PERFORMANCE = """
    CREATE TABLE product_performance AS
    WITH sold AS (
        SELECT product_id, count(DISTINCT order_id) AS orders, sum(quantity)::BIGINT AS units_sold,
            sum(returned_quantity)::BIGINT AS returned_units, sum(gross_amount) AS gross_amount,
            sum(discount_amount) AS discount_amount, sum(revenue_amount) AS revenue_amount,
            sum(cost_amount) AS cost_amount, sum(margin_amount) AS margin_amount,
            min(ordered_at) AS first_sold_at, max(ordered_at) AS last_sold_at
        FROM fact_sales WHERE NOT is_cancelled GROUP BY product_id
    ), held AS (
        SELECT product_id, sum(quantity)::BIGINT AS stock_on_hand FROM stock GROUP BY product_id
    )
    SELECT p.product_id, p.product_name, p.category, p.brand, p.status, coalesce(orders, 0) AS orders,
        coalesce(units_sold, 0) AS units_sold, coalesce(returned_units, 0) AS returned_units,
        coalesce(gross_amount, 0)::DECIMAL(18,2) AS gross_amount,
        coalesce(discount_amount, 0)::DECIMAL(18,2) AS discount_amount,
        coalesce(revenue_amount, 0)::DECIMAL(18,2) AS revenue_amount,
        coalesce(cost_amount, 0)::DECIMAL(18,2) AS cost_amount,
        coalesce(margin_amount, 0)::DECIMAL(18,2) AS margin_amount,
        rate(returned_units, units_sold) AS return_rate, first_sold_at, last_sold_at,
        coalesce(stock_on_hand, 0) AS stock_on_hand
    FROM dim_product p LEFT JOIN sold USING (product_id) LEFT JOIN held USING (product_id)
    WHERE p.is_current AND p.product_sk <> -1
"""

_DELIVERY_PERFORMANCE = """
    CREATE TABLE delivery_performance AS
    SELECT date_trunc('month', f.shipped_at)::DATE AS ship_month, f.carrier,
        coalesce(f.service_level, 'unknown') AS service_level, coalesce(l.country_code, 'ZZ') AS country_code,
        count(*) AS shipments, count(*) FILTER (f.is_delivered) AS delivered, count(*) FILTER (f.is_on_time) AS on_time,
        count(*) FILTER (f.status = 'lost') AS lost, count(*) FILTER (f.status = 'returned') AS returned,
        rate(count(*) FILTER (f.is_on_time), count(f.is_on_time)) AS on_time_rate,
        CASE WHEN count(f.transit_hours) > 0
            THEN money(half_up(sum(cents(f.transit_hours)), count(f.transit_hours)))::DECIMAL(10,2) END
            AS avg_transit_hours,
        sum(f.shipping_cost)::DECIMAL(18,2) AS shipping_cost
    FROM fact_logistics f LEFT JOIN dim_location l USING (location_sk)
    WHERE f.shipped_at IS NOT NULL
    GROUP BY 1, 2, 3, 4
"""

_CUSTOMER_VALUE = """
    CREATE TABLE customer_value AS
    WITH bought AS (
        SELECT customer_id, count(DISTINCT order_id) FILTER (NOT is_cancelled) AS orders,
            count(DISTINCT order_id) FILTER (is_cancelled) AS cancelled_orders,
            sum(quantity) FILTER (NOT is_cancelled)::BIGINT AS units, sum(revenue_amount) AS revenue_amount,
            sum(returned_amount) FILTER (NOT is_cancelled) AS returned_amount,
            min(ordered_at) FILTER (NOT is_cancelled) AS first_order_at,
            max(ordered_at) FILTER (NOT is_cancelled) AS last_order_at
        FROM fact_sales WHERE ordered_at <= getvariable('as_of') AND customer_id IS NOT NULL
        GROUP BY customer_id
    ), valued AS (
        SELECT c.customer_id, coalesce(orders, 0) AS orders, coalesce(cancelled_orders, 0) AS cancelled_orders,
            coalesce(units, 0) AS units, coalesce(revenue_amount, 0)::DECIMAL(18,2) AS revenue_amount,
            coalesce(returned_amount, 0)::DECIMAL(18,2) AS returned_amount, first_order_at, last_order_at
        FROM dim_customer c LEFT JOIN bought USING (customer_id)
        WHERE c.is_current AND c.customer_sk <> -1
    ), scored AS (
        SELECT customer_id, ntile(5) OVER (ORDER BY last_order_at, customer_id)::INTEGER AS r_score,
            ntile(5) OVER (ORDER BY orders, customer_id)::INTEGER AS f_score,
            ntile(5) OVER (ORDER BY revenue_amount, customer_id)::INTEGER AS m_score
        FROM valued WHERE orders > 0
    )
    SELECT v.customer_id, orders, cancelled_orders, units, revenue_amount, returned_amount,
        CASE WHEN orders > 0 THEN money(half_up(cents(revenue_amount), orders)) END AS average_order_value,
        first_order_at, last_order_at,
        (epoch_us(getvariable('as_of')) - epoch_us(last_order_at)) // 86400000000 AS recency_days,
        r_score, f_score, m_score, r_score::VARCHAR || f_score::VARCHAR || m_score::VARCHAR AS rfm_score
    FROM valued v LEFT JOIN scored USING (customer_id)
"""

STATEMENTS = (_SALES_DAILY, _PRODUCT_PERFORMANCE, _DELIVERY_PERFORMANCE, _CUSTOMER_VALUE)
