-- The alerts that hold at :as_of. The version is the place of the order among its customer's: it grows when an earlier
-- order comes late, which is all that can change an alert.
-- Reads: fact_orders, judged_orders (sales/anomaly_alerts.sql over fact_orders).
with places as (
  select order_id, row_number() over (partition by customer_id order by ordered_at, order_id) as place
  from fact_orders
)
select
  j.*,
  true as is_active,
  j.raised_at as effective_at,
  p.place as version
from judged_orders as j
inner join places as p on p.order_id = j.order_id
