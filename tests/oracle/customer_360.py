"""The oracle's widest table: one row per current customer, gathered from every other table as of one moment."""

from __future__ import annotations

_PLACED = """
    CREATE TABLE placed_by_customer AS
    WITH placed AS (SELECT * FROM latest_orders WHERE ordered_at <= getvariable('as_of'))
    SELECT customer_id, count(*) AS segment_orders, max(ordered_at) AS last_placed_at,
        arg_max(order_id, row(ordered_at, order_id)) AS last_order_id,
        arg_max(status, row(ordered_at, order_id)) AS last_order_status
    FROM placed GROUP BY customer_id
"""

_SPENT = """
    CREATE TABLE spent_by_customer AS
    SELECT customer_id, sum(net_amount) AS segment_spend
    FROM fact_sales WHERE ordered_at <= getvariable('as_of') GROUP BY customer_id
"""

_CONSENTED = """
    CREATE TABLE consented_by_customer AS
    WITH current_consents AS (
        SELECT * FROM consents WHERE updated_at <= getvariable('as_of')
        QUALIFY row_number() OVER (PARTITION BY customer_id, purpose ORDER BY updated_at DESC) = 1
    )
    SELECT customer_id,
        bool_or(granted) FILTER (purpose = 'marketing_email') AS consent_marketing_email,
        bool_or(granted) FILTER (purpose = 'marketing_sms') AS consent_marketing_sms,
        bool_or(granted) FILTER (purpose = 'profiling') AS consent_profiling,
        bool_or(granted) FILTER (purpose = 'third_party') AS consent_third_party
    FROM current_consents GROUP BY customer_id
"""

_FAVOURITE = """
    CREATE TABLE favourite_by_customer AS
    WITH by_category AS (
        SELECT f.customer_id, p.category, sum(f.revenue_amount) AS revenue
        FROM fact_sales f JOIN dim_product p USING (product_sk)
        WHERE NOT f.is_cancelled AND f.ordered_at <= getvariable('as_of') AND p.category IS NOT NULL
        GROUP BY ALL
    )
    SELECT customer_id, category AS favourite_category FROM by_category
    QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY revenue DESC, category) = 1
"""

_SHIPPED = """
    CREATE TABLE shipped_by_customer AS
    SELECT customer_id, count(*) AS shipments, count(*) FILTER (is_delivered) AS delivered_shipments,
        count(*) FILTER (NOT is_on_time) AS late_shipments,
        count(*) FILTER (status IN ('created', 'in_transit')) AS open_shipments,
        rate(count(*) FILTER (is_on_time), count(is_on_time)) AS on_time_rate, max(delivered_at) AS last_delivered_at
    FROM fact_logistics GROUP BY customer_id
"""

_PAID = """
    CREATE TABLE paid_by_customer AS
    SELECT o.customer_id,
        sum(t.amount) FILTER (t.transaction_type = 'payment' AND t.status = 'captured') AS captured_amount,
        sum(t.amount) FILTER (t.transaction_type = 'refund' AND t.status = 'captured') AS refunded_amount,
        count(*) FILTER (t.transaction_type = 'payment' AND t.status = 'failed') AS failed_payments,
        count(*) FILTER (t.transaction_type = 'payment') AS payments
    FROM latest_transactions t JOIN latest_orders o USING (order_id) GROUP BY o.customer_id
"""

_VISITED = """
    CREATE TABLE visited_by_customer AS
    SELECT customer_id, count(*) AS web_events, count(*) FILTER (event_type = 'session_start') AS web_sessions,
        count(*) FILTER (event_type = 'product_view') AS product_views,
        count(*) FILTER (event_type = 'add_to_cart') AS carts,
        count(*) FILTER (event_type = 'support_ticket') AS support_tickets,
        min(event_timestamp) AS first_seen_at, max(event_timestamp) AS last_seen_at
    FROM events WHERE event_timestamp <= getvariable('as_of') GROUP BY customer_id
"""

_WIDE = """
    CREATE TABLE customer_360 AS
    WITH gathered AS (
        SELECT c.customer_id, c.customer_sk, c.full_name, c.first_name, c.last_name, c.email, c.phone, c.birth_date,
            c.language, c.loyalty_tier, c.acquisition_channel, c.registered_at, c.location_id, l.street, l.city,
            l.postal_code, l.region, l.country_code, consent_marketing_email, consent_marketing_sms, consent_profiling,
            consent_third_party, v.orders, v.cancelled_orders, v.revenue_amount, v.average_order_value,
            v.returned_amount, v.first_order_at, v.last_order_at, v.recency_days, v.r_score, v.f_score, v.m_score,
            v.rfm_score, coalesce(segment_orders, 0) AS segment_orders,
            coalesce(segment_spend, 0)::DECIMAL(18,2) AS segment_spend, last_placed_at, favourite_category,
            last_order_id, last_order_status, coalesce(shipments, 0) AS shipments,
            coalesce(delivered_shipments, 0) AS delivered_shipments, coalesce(late_shipments, 0) AS late_shipments,
            coalesce(open_shipments, 0) AS open_shipments, on_time_rate, last_delivered_at,
            coalesce(captured_amount, 0)::DECIMAL(18,2) AS captured_amount,
            coalesce(refunded_amount, 0)::DECIMAL(18,2) AS refunded_amount,
            coalesce(failed_payments, 0) AS failed_payments, coalesce(payments, 0) AS payments,
            coalesce(web_events, 0) AS web_events, coalesce(web_sessions, 0) AS web_sessions,
            coalesce(product_views, 0) AS product_views, coalesce(carts, 0) AS carts,
            coalesce(support_tickets, 0) AS support_tickets, first_seen_at, last_seen_at,
            rate(cents(v.returned_amount), cents(v.revenue_amount + v.returned_amount)) AS return_rate,
            rate(v.cancelled_orders, v.orders + v.cancelled_orders) AS cancellation_rate,
            rate(coalesce(failed_payments, 0), coalesce(payments, 0)) AS failed_payment_rate,
            (epoch_us(getvariable('as_of')) - epoch_us(last_placed_at)) // 86400000000 AS days_since_placed
        FROM dim_customer c
        JOIN customer_value v USING (customer_id)
        LEFT JOIN dim_location l ON l.location_id = c.location_id AND l.location_sk <> -1
        LEFT JOIN consented_by_customer USING (customer_id) LEFT JOIN placed_by_customer USING (customer_id)
        LEFT JOIN spent_by_customer USING (customer_id) LEFT JOIN favourite_by_customer USING (customer_id)
        LEFT JOIN shipped_by_customer USING (customer_id) LEFT JOIN paid_by_customer USING (customer_id)
        LEFT JOIN visited_by_customer USING (customer_id)
        WHERE c.is_current AND c.customer_sk <> -1
    ), scored AS (
        -- Rates carry four digits, so thousandths of a point are whole numbers and the rounding is exact.
        SELECT * EXCLUDE (days_since_placed),
            CASE WHEN segment_orders = 0 THEN 'Prospect' WHEN days_since_placed >= 90 THEN 'Churned'
                WHEN days_since_placed >= 30 THEN 'At-Risk' WHEN segment_orders >= 5 AND segment_spend >= 500 THEN 'VIP'
                WHEN segment_orders >= 3 THEN 'Regular' ELSE 'New' END AS segment,
            half_up(((4 * coalesce(return_rate, 0) + 3 * coalesce(cancellation_rate, 0)
                + 3 * coalesce(failed_payment_rate, 0)) * 10000)::HUGEINT, 1000)::INTEGER AS risk_score
        FROM gathered
    )
    SELECT *, CASE WHEN risk_score >= 50 THEN 'high' WHEN risk_score >= 20 THEN 'medium' ELSE 'low' END AS risk_level
    FROM scored
"""

STATEMENTS = (_PLACED, _SPENT, _CONSENTED, _FAVOURITE, _SHIPPED, _PAID, _VISITED, _WIDE)
