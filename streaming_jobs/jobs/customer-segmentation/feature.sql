CREATE TEMPORARY VIEW placed_order AS
SELECT customer_id, cents, happened FROM order_fact WHERE fact = 'placed';

CREATE TEMPORARY VIEW customer_segments_rows AS
SELECT customer_id, segment, orders, spend, last_order_at, effective_at, version
FROM customer_segments(placed => TABLE placed_order PARTITION BY customer_id, uid => 'customer-segments');
