-- Transaction fact: one row per order item, priced and keyed as of the moment of the order.
-- Reads: latest_order_items, latest_orders, dim_customer, dim_product, dim_location.
-- An item without its order takes the product's current version: 9999-12-30 lies in no other version.
with placed as (
  select
    i.order_item_id,
    i.order_id,
    i.line_number,
    o.customer_id,
    i.product_id,
    o.location_id,
    o.ordered_at,
    coalesce(o.ordered_at, timestamp '9999-12-30 00:00:00Z') as priced_at,
    o.status as order_status,
    o.channel as sales_channel,
    o.currency,
    i.quantity,
    i.unit_price,
    coalesce(i.discount_amount, 0) as discount_amount,
    cast(i.quantity * i.unit_price as decimal(18, 2)) as gross_amount,
    cast(i.quantity * i.unit_price - coalesce(i.discount_amount, 0) as decimal(18, 2)) as net_amount,
    coalesce(i.returned_quantity, 0) as returned_quantity,
    coalesce(o.status = 'cancelled', false) as is_cancelled
  from latest_order_items as i
  left join latest_orders as o on o.order_id = i.order_id
),
measured as (
  select
    *,
    -- narrow operands keep nine exact digits in the quotient: with a quantity of at most 100,000 no tie is crossed
    cast(round(net_amount * cast(returned_quantity as decimal(6, 0)) / cast(quantity as decimal(6, 0)), 2)
      as decimal(18, 2)) as returned_amount
  from placed
)
select
  m.order_item_id,
  m.order_id,
  m.line_number,
  m.customer_id,
  m.product_id,
  coalesce(c.customer_sk, -1) as customer_sk,
  coalesce(p.product_sk, -1) as product_sk,
  coalesce(l.location_sk, -1) as location_sk,
  coalesce(year(m.ordered_at) * 10000 + month(m.ordered_at) * 100 + day(m.ordered_at), -1) as order_date_sk,
  m.ordered_at,
  m.order_status,
  m.sales_channel,
  m.currency,
  m.quantity,
  m.unit_price,
  m.discount_amount,
  m.gross_amount,
  m.net_amount,
  p.unit_cost,
  m.quantity * p.unit_cost as cost_amount,
  m.net_amount - m.quantity * p.unit_cost as margin_amount,
  m.returned_quantity,
  m.returned_amount,
  m.is_cancelled,
  if(m.is_cancelled, 0, m.net_amount - m.returned_amount) as revenue_amount
from measured as m
left join dim_customer as c
  on c.customer_id = m.customer_id and m.ordered_at >= c.valid_from and m.ordered_at < c.valid_to
left join dim_product as p
  on p.product_id = m.product_id and m.priced_at >= p.valid_from and m.priced_at < p.valid_to
left join dim_location as l
  on l.location_id = m.location_id
