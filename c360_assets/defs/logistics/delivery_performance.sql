-- Deliveries by month of shipping, carrier, service level and country of destination.
-- Reads: fact_logistics, dim_location.
with shipped as (
  select
    f.*,
    trunc(f.shipped_at, 'MM') as ship_month,
    coalesce(l.country_code, 'ZZ') as country_code
  from fact_logistics as f
  left join dim_location as l on l.location_sk = f.location_sk
  where f.shipped_at is not null
)
select
  ship_month,
  carrier,
  coalesce(service_level, 'unknown') as service_level,
  country_code,
  count(*) as shipments,
  count_if(is_delivered) as delivered,
  count_if(is_on_time) as on_time,
  count_if(status = 'lost') as lost,
  count_if(status = 'returned') as returned,
  round(
    cast(count_if(is_on_time) as decimal(18, 0)) / nullif(cast(count(is_on_time) as decimal(18, 0)), 0),
    4
  ) as on_time_rate,
  round(
    cast(sum(transit_hours) as decimal(18, 2)) / nullif(cast(count(transit_hours) as decimal(18, 0)), 0),
    2
  ) as avg_transit_hours,
  sum(shipping_cost) as shipping_cost
from shipped
group by ship_month, carrier, coalesce(service_level, 'unknown'), country_code
