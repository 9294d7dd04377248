-- Each order as it was first told, and when it was cancelled if it was. Later versions of it, and readings anew, are no
-- orders; a deletion tells what was there before. Rows that do not tell all that counts are passed over.
-- Reads: shop_orders_history.
select
  order_id,
  min_by(struct(customer_id, ordered_at, total_amount as amount), lsn) as told,
  min(if(status = 'cancelled', updated_at, null)) as cancelled_at
from shop_orders_history
where customer_id is not null and ordered_at is not null and total_amount is not null and updated_at is not null
group by order_id
