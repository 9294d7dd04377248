-- Sales by day, channel and country of destination: the orders that have items.
-- Reads: fact_orders, dim_location.
with placed as (
  select
    o.*,
    cast(o.ordered_at as date) as order_date,
    coalesce(l.country_code, 'ZZ') as country_code
  from fact_orders as o
  left join dim_location as l on l.location_id = o.location_id
  where o.order_items > 0
)
select
  order_date,
  coalesce(sales_channel, 'unknown') as sales_channel,
  country_code,
  count(*) as orders,
  sum(order_items) as order_items,
  count(distinct customer_id) as customers,
  sum(units) as units,
  sum(gross_amount) as gross_amount,
  sum(discount_amount) as discount_amount,
  sum(net_amount) as net_amount,
  sum(returned_amount) as returned_amount,
  sum(revenue_amount) as revenue_amount,
  count_if(is_cancelled) as cancelled_orders
from placed
group by order_date, coalesce(sales_channel, 'unknown'), country_code
