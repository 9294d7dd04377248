-- Five minutes have one sum for each of many shards of customers: no key has all orders of a moment.
CREATE TEMPORARY VIEW fact_of_shard AS
SELECT shard_of(customer_id) AS shard, customer_id, fact, cents, happened FROM order_fact;

CREATE TEMPORARY VIEW pane_of_shard AS
SELECT block, pane, sums
FROM sales_panes(fact => TABLE fact_of_shard PARTITION BY shard, uid => 'sales-panes');

CREATE TEMPORARY VIEW sales_metrics_rows AS
SELECT metric_id, window_start, window_end, orders, cancellations, revenue, average_order_value, unique_customers,
  effective_at, version
FROM sales_metrics(news => TABLE pane_of_shard PARTITION BY block, uid => 'sales-metrics');
