-- Each line of an order as it was first told, sold when its order was placed and taken back when that was cancelled.
-- Lines whose order is unknown have no moment yet.
-- Reads: placed_orders, shop_order_items_history.
with lines as (
  select order_item_id, min_by(struct(order_id, product_id, quantity), lsn) as told
  from shop_order_items_history
  where order_id is not null and product_id is not null and quantity is not null
  group by order_item_id
)
select
  l.told.product_id,
  l.told.quantity,
  o.told.ordered_at,
  greatest(o.cancelled_at, if(o.cancelled_at is null, null, o.told.ordered_at)) as cancelled_at
from lines as l
inner join placed_orders as o on o.order_id = l.told.order_id
