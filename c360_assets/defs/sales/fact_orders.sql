-- Accumulating snapshot: one row per order with what its items, shipments and payments add up to so far.
-- The marts by day and by customer add these up, instead of counting distinct orders over every item again.
-- Reads: latest_orders, latest_transactions, fact_sales, fact_logistics.
with items as (
  select
    order_id,
    count(*) as order_items,
    sum(quantity) as units,
    sum(gross_amount) as gross_amount,
    sum(discount_amount) as discount_amount,
    sum(net_amount) as net_amount,
    sum(returned_amount) as returned_amount,
    sum(revenue_amount) as revenue_amount
  from fact_sales
  group by order_id
),
deliveries as (
  select
    order_id,
    count(*) as shipments,
    count_if(is_delivered) as delivered_shipments,
    count_if(is_on_time) as on_time_shipments,
    count_if(not is_on_time) as late_shipments,
    count_if(status in ('created', 'in_transit')) as open_shipments,
    max(delivered_at) as last_delivered_at
  from fact_logistics
  group by order_id
),
settlements as (
  select
    order_id,
    count_if(transaction_type = 'payment') as payments,
    count_if(transaction_type = 'payment' and status = 'failed') as failed_payments,
    sum(if(transaction_type = 'payment' and status = 'captured', amount, 0)) as captured_amount,
    sum(if(transaction_type = 'refund' and status = 'captured', amount, 0)) as refunded_amount
  from latest_transactions
  group by order_id
)
select
  o.order_id,
  o.customer_id,
  o.location_id,
  o.ordered_at,
  o.status as order_status,
  o.channel as sales_channel,
  o.status = 'cancelled' as is_cancelled,
  coalesce(i.order_items, 0) as order_items,
  coalesce(i.units, 0) as units,
  coalesce(i.gross_amount, 0) as gross_amount,
  coalesce(i.discount_amount, 0) as discount_amount,
  coalesce(i.net_amount, 0) as net_amount,
  coalesce(i.returned_amount, 0) as returned_amount,
  coalesce(i.revenue_amount, 0) as revenue_amount,
  coalesce(d.shipments, 0) as shipments,
  coalesce(d.delivered_shipments, 0) as delivered_shipments,
  coalesce(d.on_time_shipments, 0) as on_time_shipments,
  coalesce(d.late_shipments, 0) as late_shipments,
  coalesce(d.open_shipments, 0) as open_shipments,
  d.last_delivered_at,
  coalesce(s.payments, 0) as payments,
  coalesce(s.failed_payments, 0) as failed_payments,
  coalesce(s.captured_amount, 0) as captured_amount,
  coalesce(s.refunded_amount, 0) as refunded_amount
from latest_orders as o
left join items as i on i.order_id = o.order_id
left join deliveries as d on d.order_id = o.order_id
left join settlements as s on s.order_id = o.order_id
