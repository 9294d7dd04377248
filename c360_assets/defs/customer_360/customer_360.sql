-- Everything known about each current customer as of :as_of, in one row.
-- Reads: dim_customer, dim_location, consents, customer_value and customer_activity (both as of the same moment).
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
    coalesce(a.placed_orders, 0) as segment_orders,
    coalesce(a.placed_amount, 0) as segment_spend,
    a.last_placed_at,
    (unix_micros(:as_of) - unix_micros(a.last_placed_at)) div 86400000000 as days_since_placed,
    a.favourite_category,
    a.last_order_id,
    a.last_order_status,
    coalesce(a.shipments, 0) as shipments,
    coalesce(a.delivered_shipments, 0) as delivered_shipments,
    coalesce(a.late_shipments, 0) as late_shipments,
    coalesce(a.open_shipments, 0) as open_shipments,
    round(
      cast(a.on_time_shipments as decimal(18, 0))
        / nullif(cast(a.on_time_shipments + a.late_shipments as decimal(18, 0)), 0),
      4
    ) as on_time_rate,
    a.last_delivered_at,
    coalesce(a.captured_amount, 0) as captured_amount,
    coalesce(a.refunded_amount, 0) as refunded_amount,
    coalesce(a.failed_payments, 0) as failed_payments,
    coalesce(a.payments, 0) as payments,
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
    round(cast(a.failed_payments as decimal(18, 0)) / nullif(cast(a.payments as decimal(18, 0)), 0), 4)
      as failed_payment_rate
  from profiled as p
  join customer_value as v on v.customer_id = p.customer_id
  left join consented as n on n.customer_id = p.customer_id
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
