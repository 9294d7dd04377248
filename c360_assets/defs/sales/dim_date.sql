-- Calendar of whole years around everything that was ordered, shipped, promised or delivered (all versions), in UTC.
-- Reads: orders, shipments. Plain minima and maxima, so that Iceberg answers them from file statistics.
with moments as (
  select min(ordered_at) as earliest, max(ordered_at) as latest from orders
  union all
  select min(shipped_at), max(shipped_at) from shipments
  union all
  select min(promised_at), max(promised_at) from shipments
  union all
  select min(delivered_at), max(delivered_at) from shipments
),
bounds as (
  select
    make_date(year(min(earliest)), 1, 1) as first_day,
    make_date(year(max(latest)), 12, 31) as last_day
  from moments
),
days as (
  select explode(sequence(first_day, last_day)) as date
  from bounds
  where first_day is not null
)
select
  year(date) * 10000 + month(date) * 100 + day(date) as date_sk,
  date,
  year(date) as year,
  quarter(date) as quarter,
  month(date) as month,
  date_format(date, 'MMMM') as month_name,
  weekofyear(date) as iso_week,
  day(date) as day_of_month,
  weekday(date) + 1 as day_of_week,
  date_format(date, 'EEEE') as day_name,
  dayofyear(date) as day_of_year,
  weekday(date) >= 5 as is_weekend,
  date = last_day(date) as is_month_end
from days
union all
select -1, null, null, null, null, null, null, null, null, null, null, null, null
