-- What each current product sold, over orders that were not cancelled, and what is left of it in stock.
-- Reads: dim_product, stock (movements not counted yet), counted_performance (earlier rows of the same products; empty in
--        a full build), sales_lines: rows of fact_sales with a sign, +1 to count them and -1 to take back what was
--        counted of them. A product and order occurs with all its lines or not at all, so that an order with two lines of
--        a product counts once.
with sold_lines as (
  select * from sales_lines where not is_cancelled
),
sums as (
  select
    product_id,
    sum(if(sign > 0, quantity, -quantity)) as units_sold,
    sum(if(sign > 0, returned_quantity, -returned_quantity)) as returned_units,
    sum(if(sign > 0, gross_amount, -gross_amount)) as gross_amount,
    sum(if(sign > 0, discount_amount, -discount_amount)) as discount_amount,
    sum(if(sign > 0, revenue_amount, -revenue_amount)) as revenue_amount,
    sum(if(sign > 0, cost_amount, -cost_amount)) as cost_amount,
    sum(if(sign > 0, margin_amount, -margin_amount)) as margin_amount,
    min(if(sign > 0, ordered_at, null)) as first_sold_at,
    max(if(sign > 0, ordered_at, null)) as last_sold_at
  from sold_lines
  group by product_id
),
order_counts as (
  select product_id, sum(sign) as orders
  from (select distinct product_id, order_id, sign from sold_lines)
  group by product_id
),
moves as (
  select product_id, sum(quantity) as stock_on_hand from stock group by product_id
)
select
  p.product_id,
  p.product_name,
  p.category,
  p.brand,
  p.status,
  coalesce(k.orders, 0) + coalesce(o.orders, 0) as orders,
  coalesce(k.units_sold, 0) + coalesce(s.units_sold, 0) as units_sold,
  coalesce(k.returned_units, 0) + coalesce(s.returned_units, 0) as returned_units,
  coalesce(k.gross_amount, 0) + coalesce(s.gross_amount, 0) as gross_amount,
  coalesce(k.discount_amount, 0) + coalesce(s.discount_amount, 0) as discount_amount,
  coalesce(k.revenue_amount, 0) + coalesce(s.revenue_amount, 0) as revenue_amount,
  coalesce(k.cost_amount, 0) + coalesce(s.cost_amount, 0) as cost_amount,
  coalesce(k.margin_amount, 0) + coalesce(s.margin_amount, 0) as margin_amount,
  round(
    cast(coalesce(k.returned_units, 0) + coalesce(s.returned_units, 0) as decimal(18, 0))
      / nullif(cast(coalesce(k.units_sold, 0) + coalesce(s.units_sold, 0) as decimal(18, 0)), 0),
    4
  ) as return_rate,
  least(k.first_sold_at, s.first_sold_at) as first_sold_at,
  greatest(k.last_sold_at, s.last_sold_at) as last_sold_at,
  coalesce(k.stock_on_hand, 0) + coalesce(m.stock_on_hand, 0) as stock_on_hand
from dim_product as p
left join sums as s on s.product_id = p.product_id
left join order_counts as o on o.product_id = p.product_id
left join counted_performance as k on k.product_id = p.product_id
left join moves as m on m.product_id = p.product_id
where p.is_current and p.product_sk <> -1
