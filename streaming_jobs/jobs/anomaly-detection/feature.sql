CREATE TEMPORARY VIEW placed_order AS
SELECT order_id, customer_id, cents, happened FROM order_fact WHERE fact = 'placed';

CREATE TEMPORARY VIEW anomaly_alerts_rows AS
SELECT alert_id, customer_id, order_id, rule, severity, raised_at, amount, threshold, orders_counted, is_active,
  effective_at, version
FROM anomaly_alerts(placed => TABLE placed_order PARTITION BY customer_id, uid => 'anomaly-alerts');
