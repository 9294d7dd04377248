-- Everything known about each current customer as of :as_of, in one row.
-- Reads: dim_customer, dim_location, dim_product, consents, customer_value, customer_activity, fact_orders,
--        purchases (rows of fact_sales of the customers whose favourite category is due),
--        known_favourites (customer_id, favourite_category of all other customers; empty in a full build).
with consented as (
  select
    customer_id,
    max_by(granted, updated_at) filter (where purpose = 'marketing_email') as consent_marketing_email,
    max_by(granted, updated_at) filter (where purpose = 'marketing_sms') as consent_marketing_sms,
    max_by(granted, updated_at) filter (where purpose = 'profiling') as consent_profiling,
    max_by(granted, updated_at) filter (where purpose = 'third_party') as consent_third_party
  from consents
  where updated_at <= :as_of
  group by customer_id
),
ordered as (
  select
    customer_id,
    count_if(ordered_at <= :as_of) as segment_orders,
    sum(if(ordered_at <= :as_of, net_amount, 0)) as segment_spend,
    max(if(ordered_at <= :as_of, ordered_at, null)) as last_placed_at,
    max(if(ordered_at <= :as_of, struct(ordered_at, order_id, order_status), null)) as last_order,
    sum(shipments) as shipments,
    sum(delivered_shipments) as delivered_shipments,
    sum(on_time_shipments) as on_time_shipments,
    sum(late_shipments) as late_shipments,
    sum(open_shipments) as open_shipments,
    max(last_delivered_at) as last_delivered_at,
    sum(captured_amount) as captured_amount,
    sum(refunded_amount) as refunded_amount,
    sum(failed_payments) as failed_payments,
    sum(payments) as payments
  from fact_orders
  group by customer_id
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
  select customer_id, favourite_category from known_favourites
),
profiled as (
  select
    c.customer_id,
    c.customer_sk,
    c.full_name,
    c.first_name,
    c.last_name,
    c.email,
    c.phone,
    c.birth_date,
    c.language,
    c.loyalty_tier,
    c.acquisition_channel,
    c.registered_at,
    c.location_id,
    l.street,
    l.city,
    l.postal_code,
    l.region,
    l.country_code
  from dim_customer as c
  left join dim_location as l on l.location_id = c.location_id
  where c.is_current and c.customer_sk <> -1
),
collected as (
  select
    p.*,
    n.consent_marketing_email,
    n.consent_marketing_sms,
    n.consent_profiling,
    n.consent_third_party,
    v.orders,
    v.cancelled_orders,
    v.revenue_amount,
    v.average_order_value,
    v.returned_amount,
    v.first_order_at,
    v.last_order_at,
    v.recency_days,
    v.r_score,
    v.f_score,
    v.m_score,
    v.rfm_score,
    coalesce(o.segment_orders, 0) as segment_orders,
    coalesce(o.segment_spend, 0) as segment_spend,
    o.last_placed_at,
    (unix_micros(:as_of) - unix_micros(o.last_placed_at)) div 86400000000 as days_since_placed,
    f.favourite_category,
    o.last_order.order_id as last_order_id,
    o.last_order.order_status as last_order_status,
    coalesce(o.shipments, 0) as shipments,
    coalesce(o.delivered_shipments, 0) as delivered_shipments,
    coalesce(o.late_shipments, 0) as late_shipments,
    coalesce(o.open_shipments, 0) as open_shipments,
    round(
      cast(o.on_time_shipments as decimal(18, 0))
        / nullif(cast(o.on_time_shipments + o.late_shipments as decimal(18, 0)), 0),
      4
    ) as on_time_rate,
    o.last_delivered_at,
    coalesce(o.captured_amount, 0) as captured_amount,
    coalesce(o.refunded_amount, 0) as refunded_amount,
    coalesce(o.failed_payments, 0) as failed_payments,
    coalesce(o.payments, 0) as payments,
    coalesce(a.web_events, 0) as web_events,
    coalesce(a.web_sessions, 0) as web_sessions,
    coalesce(a.product_views, 0) as product_views,
    coalesce(a.carts, 0) as carts,
    coalesce(a.support_tickets, 0) as support_tickets,
    a.first_seen_at,
    a.last_seen_at,
    round(
      cast(v.returned_amount as decimal(18, 2))
        / nullif(cast(v.revenue_amount + v.returned_amount as decimal(18, 2)), 0),
      4
    ) as return_rate,
    round(
      cast(v.cancelled_orders as decimal(18, 0))
        / nullif(cast(v.orders + v.cancelled_orders as decimal(18, 0)), 0),
      4
    ) as cancellation_rate,
    round(cast(o.failed_payments as decimal(18, 0)) / nullif(cast(o.payments as decimal(18, 0)), 0), 4)
      as failed_payment_rate
  from profiled as p
  join customer_value as v on v.customer_id = p.customer_id
  left join consented as n on n.customer_id = p.customer_id
  left join ordered as o on o.customer_id = p.customer_id
  left join favourites as f on f.customer_id = p.customer_id
  left join customer_activity as a on a.customer_id = p.customer_id
),
assessed as (
  select
    *,
    case
      when last_placed_at is null then 'Prospect'
      when days_since_placed >= 90 then 'Churned'
      when days_since_placed >= 30 then 'At-Risk'
      when segment_orders >= 5 and segment_spend >= 500 then 'VIP'
      when segment_orders >= 3 then 'Regular'
      else 'New'
    end as segment,
    cast(
      round(
        100 * (
          0.4 * coalesce(cast(return_rate as decimal(9, 4)), 0)
          + 0.3 * coalesce(cast(cancellation_rate as decimal(9, 4)), 0)
          + 0.3 * coalesce(cast(failed_payment_rate as decimal(9, 4)), 0)
        )
      ) as int
    ) as risk_score
  from collected
)
select
  * except (days_since_placed),
  case when risk_score >= 50 then 'high' when risk_score >= 20 then 'medium' else 'low' end as risk_level
from assessed
