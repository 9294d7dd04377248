-- The segment of each customer who has ordered by :as_of; first match wins, and boundaries belong to the later segment.
-- Reads: placed_orders.
with counted as (
  select
    told.customer_id,
    count(*) as orders,
    sum(told.amount) as spend,
    max(told.ordered_at) as last_order_at
  from placed_orders
  where told.ordered_at <= :as_of
  group by told.customer_id
)
select
  customer_id,
  case
    when last_order_at + interval 90 days <= :as_of then 'Churned'
    when last_order_at + interval 30 days <= :as_of then 'At-Risk'
    when orders >= 5 and spend >= 500 then 'VIP'
    when orders >= 3 then 'Regular'
    else 'New'
  end as segment,
  orders,
  spend,
  last_order_at,
  case
    when last_order_at + interval 90 days <= :as_of then last_order_at + interval 90 days
    when last_order_at + interval 30 days <= :as_of then last_order_at + interval 30 days
    else last_order_at
  end as effective_at,
  orders as version
from counted
