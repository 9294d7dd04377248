-- What each current product sold, over orders that were not cancelled, and what is left of it in stock.
-- Reads: dim_product, fact_sales, stock.
with order_lines as (
  -- one row per product and order first: an order with two lines of a product counts once
  select
    product_id,
    order_id,
    sum(quantity) as units_sold,
    sum(returned_quantity) as returned_units,
    sum(gross_amount) as gross_amount,
    sum(discount_amount) as discount_amount,
    sum(revenue_amount) as revenue_amount,
    sum(cost_amount) as cost_amount,
    sum(margin_amount) as margin_amount,
    min(ordered_at) as first_sold_at,
    max(ordered_at) as last_sold_at
  from fact_sales
  where not is_cancelled
  group by product_id, order_id
),
sold as (
  select
    product_id,
    count(*) as orders,
    sum(units_sold) as units_sold,
    sum(returned_units) as returned_units,
    sum(gross_amount) as gross_amount,
    sum(discount_amount) as discount_amount,
    sum(revenue_amount) as revenue_amount,
    sum(cost_amount) as cost_amount,
    sum(margin_amount) as margin_amount,
    min(first_sold_at) as first_sold_at,
    max(last_sold_at) as last_sold_at
  from order_lines
  group by product_id
),
stocked as (
  select product_id, sum(quantity) as stock_on_hand from stock group by product_id
)
select
  p.product_id,
  p.product_name,
  p.category,
  p.brand,
  p.status,
  coalesce(s.orders, 0) as orders,
  coalesce(s.units_sold, 0) as units_sold,
  coalesce(s.returned_units, 0) as returned_units,
  coalesce(s.gross_amount, 0) as gross_amount,
  coalesce(s.discount_amount, 0) as discount_amount,
  coalesce(s.revenue_amount, 0) as revenue_amount,
  coalesce(s.cost_amount, 0) as cost_amount,
  coalesce(s.margin_amount, 0) as margin_amount,
  round(cast(s.returned_units as decimal(18, 0)) / nullif(cast(s.units_sold as decimal(18, 0)), 0), 4) as return_rate,
  s.first_sold_at,
  s.last_sold_at,
  coalesce(k.stock_on_hand, 0) as stock_on_hand
from dim_product as p
left join sold as s on s.product_id = p.product_id
left join stocked as k on k.product_id = p.product_id
where p.is_current and p.product_sk <> -1
