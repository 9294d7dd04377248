-- Recency, frequency and monetary value of every current customer, over orders placed up to :as_of.
-- Reads: dim_customer, fact_orders.
with bought as (
  select
    customer_id,
    count_if(not is_cancelled) as orders,
    count_if(is_cancelled) as cancelled_orders,
    sum(if(is_cancelled, 0, units)) as units,
    sum(revenue_amount) as revenue_amount,
    sum(if(is_cancelled, 0, returned_amount)) as returned_amount,
    min(if(is_cancelled, null, ordered_at)) as first_order_at,
    max(if(is_cancelled, null, ordered_at)) as last_order_at
  from fact_orders
  where ordered_at <= :as_of and order_items > 0
  group by customer_id
),
valued as (
  select
    c.customer_id,
    coalesce(b.orders, 0) as orders,
    coalesce(b.cancelled_orders, 0) as cancelled_orders,
    coalesce(b.units, 0) as units,
    coalesce(b.revenue_amount, 0) as revenue_amount,
    coalesce(b.returned_amount, 0) as returned_amount,
    b.first_order_at,
    b.last_order_at
  from dim_customer as c
  left join bought as b on b.customer_id = c.customer_id
  where c.is_current and c.customer_sk <> -1
),
scored as (
  select
    customer_id,
    ntile(5) over (order by last_order_at, customer_id) as r_score,
    ntile(5) over (order by orders, customer_id) as f_score,
    ntile(5) over (order by revenue_amount, customer_id) as m_score
  from valued
  where orders > 0
)
select
  v.customer_id,
  v.orders,
  v.cancelled_orders,
  v.units,
  v.revenue_amount,
  v.returned_amount,
  round(cast(v.revenue_amount as decimal(18, 2)) / nullif(cast(v.orders as decimal(18, 0)), 0), 2)
    as average_order_value,
  v.first_order_at,
  v.last_order_at,
  (unix_micros(:as_of) - unix_micros(v.last_order_at)) div 86400000000 as recency_days,
  s.r_score,
  s.f_score,
  s.m_score,
  concat(s.r_score, s.f_score, s.m_score) as rfm_score
from valued as v
left join scored as s on s.customer_id = v.customer_id
