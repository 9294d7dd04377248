"""The oracle's two facts: the latest order items and shipments, each bound to the dimension versions of its moment."""

from __future__ import annotations

_SALES = """
    CREATE TABLE fact_sales AS
    WITH bound AS (
        SELECT i.order_item_id, i.order_id, i.line_number, o.customer_id, i.product_id,
            coalesce(c.customer_sk, -1) AS customer_sk, coalesce(p.product_sk, -1) AS product_sk,
            coalesce(l.location_sk, -1) AS location_sk, day_sk(o.ordered_at) AS order_date_sk,
            o.ordered_at, o.status AS order_status, o.channel AS sales_channel, o.currency,
            i.quantity, i.unit_price, coalesce(i.discount_amount, 0) AS discount_amount, p.unit_cost,
            coalesce(i.returned_quantity, 0) AS returned_quantity,
            coalesce(o.status = 'cancelled', false) AS is_cancelled,
            i.quantity * cents(i.unit_price) AS gross,
            i.quantity * cents(i.unit_price) - cents(coalesce(i.discount_amount, 0)) AS net,
            i.quantity * cents(p.unit_cost) AS cost
        FROM latest_order_items i
        LEFT JOIN latest_orders o ON o.order_id = i.order_id
        LEFT JOIN dim_customer c ON c.customer_id = o.customer_id AND c.customer_sk <> -1
            AND c.valid_from <= o.ordered_at AND o.ordered_at < c.valid_to
        LEFT JOIN dim_product p ON p.product_id = i.product_id AND p.product_sk <> -1
            AND CASE WHEN o.order_id IS NULL THEN p.is_current
                ELSE p.valid_from <= o.ordered_at AND o.ordered_at < p.valid_to END
        LEFT JOIN dim_location l ON l.location_id = o.location_id AND l.location_sk <> -1
    ), returned AS (
        SELECT *, half_up(net * returned_quantity, quantity) AS returned_cents FROM bound
    )
    SELECT order_item_id, order_id, line_number, customer_id, product_id, customer_sk, product_sk, location_sk,
        order_date_sk, ordered_at, order_status, sales_channel, currency, quantity,
        unit_price::DECIMAL(18,2) AS unit_price, discount_amount::DECIMAL(18,2) AS discount_amount,
        money(gross) AS gross_amount, money(net) AS net_amount, unit_cost::DECIMAL(18,2) AS unit_cost,
        money(cost) AS cost_amount, money(net - cost) AS margin_amount, returned_quantity,
        money(returned_cents) AS returned_amount, is_cancelled,
        money(CASE WHEN is_cancelled THEN 0 ELSE net - returned_cents END) AS revenue_amount
    FROM returned
"""

_LOGISTICS = """
    CREATE TABLE fact_logistics AS
    SELECT s.shipment_id, s.order_id, o.customer_id, coalesce(c.customer_sk, -1) AS customer_sk,
        coalesce(l.location_sk, -1) AS location_sk, s.carrier, s.service_level, s.warehouse, s.status,
        day_sk(s.shipped_at) AS ship_date_sk, day_sk(s.promised_at) AS promised_date_sk,
        day_sk(s.delivered_at) AS delivery_date_sk, s.shipped_at, s.promised_at, s.delivered_at,
        coalesce(s.shipping_cost, 0)::DECIMAL(18,2) AS shipping_cost, s.weight_kg,
        money(half_up((epoch_us(s.delivered_at) - epoch_us(s.shipped_at)) * 100, 3600000000))::DECIMAL(10,2)
            AS transit_hours,
        s.delivered_at IS NOT NULL AS is_delivered, s.delivered_at <= s.promised_at AS is_on_time
    FROM latest_shipments s
    LEFT JOIN latest_orders o ON o.order_id = s.order_id
    LEFT JOIN dim_customer c ON c.customer_id = o.customer_id AND c.customer_sk <> -1
        AND c.valid_from <= o.ordered_at AND o.ordered_at < c.valid_to
    LEFT JOIN dim_location l ON l.location_id = s.location_id AND l.location_sk <> -1
"""

STATEMENTS = (_SALES, _LOGISTICS)
