-- Accumulating snapshot: one row per shipment, with the milestones it has reached.
-- Reads: latest_shipments, latest_orders, dim_customer, dim_location.
select
  s.shipment_id,
  s.order_id,
  o.customer_id,
  coalesce(c.customer_sk, -1) as customer_sk,
  coalesce(l.location_sk, -1) as location_sk,
  s.carrier,
  s.service_level,
  s.warehouse,
  s.status,
  coalesce(year(s.shipped_at) * 10000 + month(s.shipped_at) * 100 + day(s.shipped_at), -1) as ship_date_sk,
  coalesce(year(s.promised_at) * 10000 + month(s.promised_at) * 100 + day(s.promised_at), -1) as promised_date_sk,
  coalesce(year(s.delivered_at) * 10000 + month(s.delivered_at) * 100 + day(s.delivered_at), -1) as delivery_date_sk,
  s.shipped_at,
  s.promised_at,
  s.delivered_at,
  coalesce(s.shipping_cost, 0) as shipping_cost,
  s.weight_kg,
  round(
    cast(unix_micros(s.delivered_at) - unix_micros(s.shipped_at) as decimal(18, 0)) / cast(3600000000 as decimal(18, 0)),
    2
  ) as transit_hours,
  s.delivered_at is not null as is_delivered,
  s.delivered_at <= s.promised_at as is_on_time
from latest_shipments as s
left join latest_orders as o
  on o.order_id = s.order_id
left join dim_customer as c
  on c.customer_id = o.customer_id and o.ordered_at >= c.valid_from and o.ordered_at < c.valid_to
left join dim_location as l
  on l.location_id = s.location_id
