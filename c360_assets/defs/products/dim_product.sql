-- Slowly changing dimension, type 2: one row per run of equal consecutive versions of a product.
-- Reads: products (silver, every version of each product in scope), with_unknown (one row if the unknown member is due).
with versions as (
  select
    *,
    struct(product_name, category, subcategory, brand, unit_price, unit_cost, weight_kg, status, introduced_at) as tracked
  from products
),
compared as (
  select
    *,
    row_number() over (partition by product_id order by updated_at) = 1
      or not (tracked <=> lag(tracked) over (partition by product_id order by updated_at)) as starts_run
  from versions
),
runs as (
  select
    *,
    cast(row_number() over (partition by product_id order by updated_at) as int) as version_number,
    lead(updated_at) over (partition by product_id order by updated_at) as next_version_at
  from compared
  where starts_run
)
select
  cast(conv(left(md5(concat('product|', product_id, '|', unix_micros(updated_at))), 15), 16, 10) as bigint)
    as product_sk,
  product_id,
  product_name,
  category,
  subcategory,
  brand,
  unit_price,
  unit_cost,
  weight_kg,
  status,
  introduced_at,
  version_number,
  updated_at as version_at,
  if(version_number = 1, timestamp '1900-01-01 00:00:00Z', updated_at) as valid_from,
  coalesce(next_version_at, timestamp '9999-12-31 00:00:00Z') as valid_to,
  next_version_at is null as is_current
from runs
union all
select
  -1, 'unknown', null, null, null, null, null, null, null, null, null, null, null,
  timestamp '1900-01-01 00:00:00Z', timestamp '9999-12-31 00:00:00Z', true
from with_unknown
