-- What each customer did on the web and in the apps up to :as_of. Counts add up and extremes combine, so that new events
-- are folded into what was counted before. Keyed by the events' customer_id, whether or not the customer is known yet.
-- Reads: events (those not counted yet), counted_activity (earlier result of the same customers; empty in a full build).
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
  from counted_activity
)
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
