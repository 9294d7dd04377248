-- Orders up to :as_of that are out of the ordinary, one row per order and rule.
-- Reads: fact_orders. Of orders of the same moment the smaller order_id comes first.
with placed as (
  select order_id, customer_id, ordered_at, net_amount, cast(net_amount * 100 as decimal(18, 0)) as cents
  from fact_orders
  where ordered_at <= :as_of
),
numbered as (
  select
    *,
    row_number() over by_order as nth,
    lag(ordered_at) over by_order as last_ordered_at,
    lag(ordered_at, 4) over by_order as fourth_last_ordered_at,
    cast(sum(cents) over earlier as decimal(38, 0)) as total,
    cast(sum(cents * cents) over earlier as decimal(38, 0)) as squares
  from placed
  window
    by_order as (partition by customer_id order by ordered_at, order_id),
    earlier as (partition by customer_id order by ordered_at, order_id rows between unbounded preceding and 1 preceding)
),
counted as (
  select *, if(nth > 5, cast(nth - 1 as decimal(18, 0)), null) as n from numbered
),
-- In whole cents, so that a boundary is met exactly: n² times the variance is n · Σx² − (Σx)².
compared as (
  select *, n * squares - total * total as spread from counted
),
guessed as (
  select *, cast(floor(sqrt(cast(9 * spread as double))) as decimal(38, 0)) as guess from compared
),
-- The guess is a double's: the whole root is it or one beside it.
rooted as (
  select
    *,
    total + case
      when guess * guess > 9 * spread then guess - 1
      when (guess + 1) * (guess + 1) <= 9 * spread then guess + 1
      else guess
    end as bound
  from guessed
),
-- Rounded down, as an amount in cents is above the bound exactly when it is above its whole cents.
bounded as (
  select *, cast((bound - pmod(bound, n)) div n as decimal(18, 0)) as bound_cents from rooted
),
judged as (
  select
    *,
    explode(
      filter(
        array(
          named_struct(
            'rule', 'order_spike',
            'holds', coalesce(ordered_at <= fourth_last_ordered_at + interval 60 minutes, false),
            'severity', 'high',
            'threshold', cast(null as decimal(18, 2)),
            'orders_counted', 5L
          ),
          named_struct(
            'rule', 'rapid_orders',
            'holds', coalesce(ordered_at <= last_ordered_at + interval 5 minutes, false),
            'severity', 'low',
            'threshold', cast(null as decimal(18, 2)),
            'orders_counted', 2L
          ),
          named_struct(
            'rule', 'outlier',
            'holds', coalesce(cents > bound_cents, false),
            'severity', if((n * cents - total) * (n * cents - total) > 25 * spread, 'high', 'medium'),
            'threshold', cast(bound_cents * 0.01BD as decimal(18, 2)),
            'orders_counted', cast(n as bigint)
          ),
          named_struct(
            'rule', 'large_order',
            'holds', net_amount > 1000,
            'severity', if(net_amount >= 5000, 'medium', 'low'),
            'threshold', cast(1000 as decimal(18, 2)),
            'orders_counted', 1L
          )
        ),
        rule -> rule.holds
      )
    ) as found
  from bounded
)
select
  concat(order_id, '-', found.rule) as alert_id,
  customer_id,
  order_id,
  found.rule,
  found.severity,
  ordered_at as raised_at,
  net_amount as amount,
  found.threshold,
  found.orders_counted
from judged
