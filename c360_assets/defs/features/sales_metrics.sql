-- Orders and cancellations of each hour that has ended by :as_of; an hour begins every five minutes.
-- Reads: placed_orders.
with happened as (
  select told.ordered_at as moment, told.customer_id, told.amount, 1 as placed, 0 as cancelled from placed_orders
  union all
  select cancelled_at, null, null, 0, 1 from placed_orders where cancelled_at is not null
),
hours as (
  select
    window.start as window_start,
    window.end as window_end,
    sum(placed) as orders,
    sum(cancelled) as cancellations,
    coalesce(sum(amount), 0) as revenue,
    count(distinct customer_id) as unique_customers
  from happened
  group by window(moment, '60 minutes', '5 minutes')
)
select
  date_format(window_start, "yyyy-MM-dd'T'HH:mm:ss'Z'") as metric_id,
  window_start,
  window_end,
  orders,
  cancellations,
  revenue,
  cast(revenue as double) / nullif(orders, 0) as average_order_value,
  unique_customers,
  window_end as effective_at,
  orders + cancellations as version
from hours
where window_end <= :as_of
