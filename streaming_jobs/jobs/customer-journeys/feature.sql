CREATE TEMPORARY VIEW step_of_customer AS
SELECT customer_id, event_type, happened_at, event_time FROM action_of_customer;

CREATE TEMPORARY VIEW customer_sessions_rows AS
SELECT CONCAT(customer_id, '-', moment_text(started_at)) AS session_id, customer_id, started_at, ended_at, events, page_views, product_views, carts, purchases, is_active,
  effective_at, version
FROM customer_sessions(
  action => TABLE step_of_customer PARTITION BY customer_id,
  uid => 'customer-sessions');

CREATE TEMPORARY VIEW cart_step AS
SELECT customer_id, event_id, event_type, product_id, happened_at, event_time
FROM action_of_customer WHERE event_type IN ('product_view', 'add_to_cart', 'purchase');

CREATE TEMPORARY VIEW abandoned_carts_rows AS
SELECT cart_id, customer_id, product_id, viewed_at, carted_at, is_active, effective_at, version
FROM abandoned_carts(
  action => TABLE cart_step PARTITION BY customer_id, uid => 'abandoned-carts');
