-- Each movement of stock, once.
-- Reads: shop_stock_history.
select
  movement_id,
  min_by(struct(product_id, quantity, moved_at), lsn) as told
from shop_stock_history
where product_id is not null and quantity is not null and moved_at is not null
group by movement_id
