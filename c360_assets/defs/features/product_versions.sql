-- Each version of a product, once: the same one read anew, or told by its deletion, is no other.
-- Reads: shop_products_history.
select
  product_id,
  updated_at,
  min_by(struct(category, status), lsn) as told
from shop_products_history
where updated_at is not null
group by product_id, updated_at
