-- What each customer did up to :as_of, on the web and by ordering: the one place where events and orders are added up by
-- customer. Counts of events add up, so that new events are folded into what was counted before; the orders of a customer
-- are added up anew when one of them changed. Keyed by the customer_id of events and orders, known or not.
-- Reads: events (those not counted yet), counted_events (earlier rows of the same customers),
--        fact_orders, purchases (fact_sales) and dim_product of the customers whose orders changed,
--        counted_orders (earlier rows of all others in scope). The counted inputs are empty in a full build.
with observed as (
  select
    customer_id,
    count(*) as web_events,
    count_if(event_type = 'session_start') as web_sessions,
    count_if(event_type = 'product_view') as product_views,
    count_if(event_type = 'add_to_cart') as carts,
    count_if(event_type = 'support_ticket') as support_tickets,
    min(event_timestamp) as first_seen_at,
    max(event_timestamp) as last_seen_at
  from events
  where customer_id is not null and event_timestamp <= :as_of
  group by customer_id
  union all
  select
    customer_id, web_events, web_sessions, product_views, carts, support_tickets, first_seen_at, last_seen_at
  from counted_events
  where web_events > 0
),
seen as (
  select
    customer_id,
    sum(web_events) as web_events,
    sum(web_sessions) as web_sessions,
    sum(product_views) as product_views,
    sum(carts) as carts,
    sum(support_tickets) as support_tickets,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
  from observed
  group by customer_id
),
sums as (
  select
    customer_id,
    count(*) as known_orders,
    count_if(ordered_at <= :as_of) as placed_orders,
    sum(if(ordered_at <= :as_of, net_amount, 0)) as placed_amount,
    max(if(ordered_at <= :as_of, ordered_at, null)) as last_placed_at,
    count_if(ordered_at <= :as_of and order_items > 0 and not is_cancelled) as orders,
    count_if(ordered_at <= :as_of and order_items > 0 and is_cancelled) as cancelled_orders,
    sum(if(ordered_at <= :as_of and not is_cancelled, units, 0)) as units,
    sum(if(ordered_at <= :as_of, revenue_amount, 0)) as revenue_amount,
    sum(if(ordered_at <= :as_of and not is_cancelled, returned_amount, 0)) as returned_amount,
    min(if(ordered_at <= :as_of and order_items > 0 and not is_cancelled, ordered_at, null)) as first_order_at,
    max(if(ordered_at <= :as_of and order_items > 0 and not is_cancelled, ordered_at, null)) as last_order_at,
    sum(shipments) as shipments,
    sum(delivered_shipments) as delivered_shipments,
    sum(on_time_shipments) as on_time_shipments,
    sum(late_shipments) as late_shipments,
    sum(open_shipments) as open_shipments,
    max(last_delivered_at) as last_delivered_at,
    sum(payments) as payments,
    sum(failed_payments) as failed_payments,
    sum(captured_amount) as captured_amount,
    sum(refunded_amount) as refunded_amount
  from fact_orders
  group by customer_id
),
-- apart from the sums, because a text in an aggregate makes Spark sort its whole input
last_placed as (
  select customer_id, order_id as last_order_id, order_status as last_order_status
  from (
    select
      customer_id,
      order_id,
      order_status,
      row_number() over (partition by customer_id order by ordered_at desc, order_id desc) as recency
    from fact_orders
    where ordered_at <= :as_of
  )
  where recency = 1
),
by_category as (
  select s.customer_id, p.category, sum(s.revenue_amount) as revenue_amount
  from purchases as s
  join dim_product as p on p.product_sk = s.product_sk
  where not s.is_cancelled and s.ordered_at <= :as_of and p.category is not null
  group by s.customer_id, p.category
),
favourites as (
  select customer_id, category as favourite_category
  from (
    select
      customer_id,
      category,
      row_number() over (partition by customer_id order by revenue_amount desc, category) as preference
    from by_category
  )
  where preference = 1
),
ordered as (
  select s.*, l.last_order_id, l.last_order_status, f.favourite_category
  from sums as s
  left join last_placed as l on l.customer_id = s.customer_id
  left join favourites as f on f.customer_id = s.customer_id
  union all by name
  select * except (web_events, web_sessions, product_views, carts, support_tickets, first_seen_at, last_seen_at)
  from counted_orders
  where known_orders > 0
)
select
  coalesce(w.customer_id, o.customer_id) as customer_id,
  coalesce(w.web_events, 0) as web_events,
  coalesce(w.web_sessions, 0) as web_sessions,
  coalesce(w.product_views, 0) as product_views,
  coalesce(w.carts, 0) as carts,
  coalesce(w.support_tickets, 0) as support_tickets,
  w.first_seen_at,
  w.last_seen_at,
  coalesce(o.known_orders, 0) as known_orders,
  coalesce(o.placed_orders, 0) as placed_orders,
  coalesce(o.placed_amount, 0) as placed_amount,
  o.last_placed_at,
  o.last_order_id,
  o.last_order_status,
  coalesce(o.orders, 0) as orders,
  coalesce(o.cancelled_orders, 0) as cancelled_orders,
  coalesce(o.units, 0) as units,
  coalesce(o.revenue_amount, 0) as revenue_amount,
  coalesce(o.returned_amount, 0) as returned_amount,
  o.first_order_at,
  o.last_order_at,
  o.favourite_category,
  coalesce(o.shipments, 0) as shipments,
  coalesce(o.delivered_shipments, 0) as delivered_shipments,
  coalesce(o.on_time_shipments, 0) as on_time_shipments,
  coalesce(o.late_shipments, 0) as late_shipments,
  coalesce(o.open_shipments, 0) as open_shipments,
  o.last_delivered_at,
  coalesce(o.payments, 0) as payments,
  coalesce(o.failed_payments, 0) as failed_payments,
  coalesce(o.captured_amount, 0) as captured_amount,
  coalesce(o.refunded_amount, 0) as refunded_amount
from seen as w
full outer join ordered as o on o.customer_id = w.customer_id
