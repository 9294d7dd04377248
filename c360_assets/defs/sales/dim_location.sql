-- Slowly changing dimension, type 1: each place as it was last described.
-- Reads: latest_locations, with_unknown (one row if the unknown member is due).
select
  cast(conv(left(md5(concat('location|', location_id)), 15), 16, 10) as bigint) as location_sk,
  location_id,
  street,
  city,
  postal_code,
  region,
  country_code,
  latitude,
  longitude,
  updated_at
from latest_locations
union all
select -1, 'unknown', null, null, null, null, null, null, null, null
from with_unknown
