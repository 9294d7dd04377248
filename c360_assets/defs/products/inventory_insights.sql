-- How long the stock of each current product lasts as of :as_of, at the pace of the last seven days.
-- Reads: dim_product, stock, fact_sales. As in product_performance, lines of cancelled orders are not sold; lines whose
--        order is unknown have no moment, and are in no week.
with sold as (
  select
    product_id,
    sum(if(ordered_at >= :as_of - interval 7 days, quantity, 0)) as units,
    max(ordered_at) as last_sold_at
  from fact_sales
  where not is_cancelled and ordered_at <= :as_of
  group by product_id
),
moves as (
  select product_id, sum(quantity) as stock_on_hand from stock where moved_at <= :as_of group by product_id
),
held as (
  select
    p.product_id,
    coalesce(m.stock_on_hand, 0) as stock_on_hand,
    greatest(coalesce(m.stock_on_hand, 0), 0) as left_over,
    coalesce(s.units, 0) as units,
    s.last_sold_at
  from dim_product as p
  left join sold as s on s.product_id = p.product_id
  left join moves as m on m.product_id = p.product_id
  where p.is_current and p.product_sk <> -1
),
-- left_over / (units / 7) days, compared without dividing.
judged as (
  select
    *,
    case
      when left_over = 0 then 'out_of_stock'
      when units > 0 and 7 * left_over <= 3 * units then 'critical'
      when units > 0 and 7 * left_over <= 7 * units then 'low'
      else 'healthy'
    end as status
  from held
)
select
  product_id,
  stock_on_hand,
  units as units_sold_7d,
  round(cast(units as decimal(18, 0)) / 7, 4) as units_per_day,
  round(cast(7 * left_over as decimal(18, 0)) / nullif(cast(units as decimal(18, 0)), 0), 2) as days_until_stock_out,
  status,
  coalesce(last_sold_at <= :as_of - interval 30 days, true) as dead_stock,
  last_sold_at,
  greatest(2 * units - left_over, 0) as restock_quantity,
  case
    when status = 'out_of_stock' and units > 0 then 'immediate'
    when status = 'critical' then 'high'
    when status = 'low' then 'medium'
    else 'none'
  end as restock_urgency,
  :as_of as as_of
from judged
