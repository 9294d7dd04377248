-- What each customer did up to :as_of, on the web and by ordering: the one place where events and orders are added up by
-- customer. Counts and sums add up, so that what is new is folded into what was counted before. Keyed by the customer_id
-- of events and orders, known or not.
-- Reads: events (those not counted yet), counted_events (earlier rows of the same customers),
--        order_lines: rows of fact_orders with a sign, +1 to count them and -1 to take back what was counted of them,
--        counted_orders (earlier rows of the customers to whom they are added),
--        purchases (fact_sales) and dim_product for the favourite category of customers who bought something new,
--        counted_favourites (earlier rows of all others in scope). The counted inputs are empty in a full build.
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
changes as (
  select
    customer_id,
    sum(sign) as known_orders,
    sum(if(ordered_at <= :as_of, sign, 0)) as placed_orders,
    sum(case when ordered_at > :as_of then 0 when sign > 0 then net_amount else -net_amount end) as placed_amount,
    max(if(sign > 0 and ordered_at <= :as_of, ordered_at, null)) as last_placed_at,
    sum(if(ordered_at <= :as_of and order_items > 0 and not is_cancelled, sign, 0)) as orders,
    sum(if(ordered_at <= :as_of and order_items > 0 and is_cancelled, sign, 0)) as cancelled_orders,
    sum(if(ordered_at <= :as_of and not is_cancelled, sign * units, 0)) as units,
    sum(case when ordered_at > :as_of then 0 when sign > 0 then revenue_amount else -revenue_amount end)
      as revenue_amount,
    sum(case when ordered_at > :as_of or is_cancelled then 0 when sign > 0 then returned_amount else -returned_amount end)
      as returned_amount,
    min(if(sign > 0 and ordered_at <= :as_of and order_items > 0 and not is_cancelled, ordered_at, null))
      as first_order_at,
    max(if(sign > 0 and ordered_at <= :as_of and order_items > 0 and not is_cancelled, ordered_at, null))
      as last_order_at,
    sum(sign * shipments) as shipments,
    sum(sign * delivered_shipments) as delivered_shipments,
    sum(sign * on_time_shipments) as on_time_shipments,
    sum(sign * late_shipments) as late_shipments,
    sum(sign * open_shipments) as open_shipments,
    max(if(sign > 0, last_delivered_at, null)) as last_delivered_at,
    sum(sign * payments) as payments,
    sum(sign * failed_payments) as failed_payments,
    sum(if(sign > 0, captured_amount, -captured_amount)) as captured_amount,
    sum(if(sign > 0, refunded_amount, -refunded_amount)) as refunded_amount
  from order_lines
  group by customer_id
  union all
  select
    customer_id, known_orders, placed_orders, placed_amount, last_placed_at, orders, cancelled_orders, units,
    revenue_amount, returned_amount, first_order_at, last_order_at, shipments, delivered_shipments, on_time_shipments,
    late_shipments, open_shipments, last_delivered_at, payments, failed_payments, captured_amount, refunded_amount
  from counted_orders
),
sums as (
  select
    customer_id,
    sum(known_orders) as known_orders,
    sum(placed_orders) as placed_orders,
    sum(placed_amount) as placed_amount,
    max(last_placed_at) as last_placed_at,
    sum(orders) as orders,
    sum(cancelled_orders) as cancelled_orders,
    sum(units) as units,
    sum(revenue_amount) as revenue_amount,
    sum(returned_amount) as returned_amount,
    min(first_order_at) as first_order_at,
    max(last_order_at) as last_order_at,
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
  from changes
  group by customer_id
  having sum(known_orders) > 0
),
-- apart from the sums, because a text in an aggregate makes Spark sort its whole input
last_placed as (
  select customer_id, order_id as last_order_id, order_status as last_order_status
  from (
    select
      customer_id,
      order_id,
      order_status,
      row_number() over (partition by customer_id order by ordered_at desc, order_id desc, is_counted) as recency
    from (
      select customer_id, ordered_at, order_id, order_status, false as is_counted
      from order_lines
      where sign > 0 and ordered_at <= :as_of
      union all
      select customer_id, last_placed_at, last_order_id, last_order_status, true
      from counted_orders
      where last_order_id is not null
    )
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
  union all
  select customer_id, favourite_category from counted_favourites
),
ordered as (
  select s.*, l.last_order_id, l.last_order_status, f.favourite_category
  from sums as s
  left join last_placed as l on l.customer_id = s.customer_id
  left join favourites as f on f.customer_id = s.customer_id
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
