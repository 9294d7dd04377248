-- Recency, frequency and monetary value of every current customer, over orders placed up to :as_of.
-- Reads: dim_customer, customer_activity (as of the same moment).
with valued as (
  select
    c.customer_id,
    coalesce(a.orders, 0) as orders,
    coalesce(a.cancelled_orders, 0) as cancelled_orders,
    coalesce(a.units, 0) as units,
    coalesce(a.revenue_amount, 0) as revenue_amount,
    coalesce(a.returned_amount, 0) as returned_amount,
    a.first_order_at,
    a.last_order_at
  from dim_customer as c
  left join customer_activity as a on a.customer_id = c.customer_id
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
