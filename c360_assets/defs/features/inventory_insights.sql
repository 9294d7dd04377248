-- The stock of each product that was in the catalogue by :as_of. The version counts what happened to the product: its own
-- versions, movements of stock, lines sold, and lines taken back.
-- Reads: product_versions, stock_moves, sold_lines, judged_products (products/inventory_insights.sql over these).
with happened as (
  select product_id, updated_at as moment, 1 as change from product_versions
  union all
  select told.product_id, told.moved_at, 1 from stock_moves
  union all
  select product_id, ordered_at, 1 from sold_lines
  union all
  select product_id, cancelled_at, 1 from sold_lines where cancelled_at is not null
  union all
  -- a sale of exactly seven days ago is still in the week
  select product_id, ordered_at + interval '7 00:00:00.000001' day to second, 0
  from sold_lines
  where not coalesce(cancelled_at <= :as_of, false)
),
counted as (
  select product_id, max(moment) as moment, sum(change) as changes
  from happened
  where moment <= :as_of
  group by product_id
),
described as (
  select product_id, max_by(told, updated_at) as told from product_versions where updated_at <= :as_of group by product_id
)
select
  j.product_id,
  d.told.category,
  d.told.status as product_status,
  j.stock_on_hand,
  j.units_sold_7d,
  j.units_per_day,
  j.days_until_stock_out,
  j.status,
  j.dead_stock,
  j.last_sold_at,
  j.restock_quantity,
  j.restock_urgency,
  greatest(c.moment, if(j.dead_stock, j.last_sold_at + interval 30 days, null)) as effective_at,
  c.changes as version
from judged_products as j
inner join described as d on d.product_id = j.product_id
inner join counted as c on c.product_id = j.product_id
