"""The oracle's dimensions: SCD2 runs of customers and products, latest locations, and the calendar."""

from __future__ import annotations

MACROS = (
    "CREATE MACRO sk(identity) AS ('0x' || substr(md5(identity), 1, 15))::BIGINT",
    # Exact: integers only, half away from zero. DuckDB divides decimals as doubles, which loses cents.
    """CREATE MACRO half_up(num, den) AS (sign(num) * sign(den))::HUGEINT
    * ((2 * abs(num::HUGEINT) + abs(den::HUGEINT)) // (2 * abs(den::HUGEINT)))""",
    "CREATE MACRO cents(amount) AS (amount * 100)::HUGEINT",
    "CREATE MACRO money(hundredths) AS (hundredths::DECIMAL(30,0) * 0.01::DECIMAL(2,2))::DECIMAL(18,2)",
    """CREATE MACRO rate(num, den) AS CASE WHEN den <> 0
    THEN (half_up(num * 10000, den)::DECIMAL(30,0) * 0.0001::DECIMAL(4,4))::DECIMAL(9,4) END""",
    "CREATE MACRO day_sk(moment) AS coalesce(year(moment) * 10000 + month(moment) * 100 + day(moment), -1)::INTEGER",
)

CUSTOMER_ATTRIBUTES = (
    "first_name",
    "last_name",
    "email",
    "phone",
    "birth_date",
    "location_id",
    "language",
    "loyalty_tier",
    "acquisition_channel",
    "registered_at",
)
PRODUCT_ATTRIBUTES = (
    "product_name",
    "category",
    "subcategory",
    "brand",
    "unit_price",
    "unit_cost",
    "weight_kg",
    "status",
    "introduced_at",
)
_FULL_NAME = (
    "CASE WHEN first_name IS NULL THEN last_name WHEN last_name IS NULL THEN first_name "
    "ELSE first_name || ' ' || last_name END AS full_name"
)


def _history(entity: str, attributes: tuple[str, ...], derived: str = "") -> str:
    """SQL of one SCD2 dimension. A version starts a run when any tracked attribute differs from its predecessor's."""
    name = entity.removesuffix("s")
    key = f"{name}_id"
    differs = " OR ".join(f"{a} IS DISTINCT FROM lag({a}) OVER history" for a in attributes)
    return f"""
    CREATE TABLE dim_{name} AS
    WITH compared AS (
        SELECT *, row_number() OVER history = 1 OR {differs} AS starts_run
        FROM {entity}
        WINDOW history AS (PARTITION BY {key} ORDER BY updated_at)
    ), runs AS (
        SELECT *, row_number() OVER history AS version_number, lead(updated_at) OVER history AS next_at
        FROM compared WHERE starts_run
        WINDOW history AS (PARTITION BY {key} ORDER BY updated_at)
    )
    SELECT sk('{name}|' || {key} || '|' || epoch_us(updated_at)::VARCHAR) AS {name}_sk, {key}, {", ".join(attributes)},
        {derived + "," if derived else ""}
        version_number, updated_at AS version_at,
        CASE WHEN version_number = 1 THEN TIMESTAMP '1900-01-01' ELSE updated_at END AS valid_from,
        coalesce(next_at, TIMESTAMP '9999-12-31') AS valid_to,
        next_at IS NULL AS is_current
    FROM runs
    UNION ALL BY NAME
    SELECT -1 AS {name}_sk, 'unknown' AS {key}, TIMESTAMP '1900-01-01' AS valid_from,
        TIMESTAMP '9999-12-31' AS valid_to, true AS is_current
    """


_LOCATION = """
    CREATE TABLE dim_location AS
    SELECT sk('location|' || location_id) AS location_sk, location_id, street, city, postal_code, region, country_code,
        latitude, longitude, updated_at
    FROM latest_locations
    UNION ALL BY NAME
    SELECT -1 AS location_sk, 'unknown' AS location_id
"""

_DATE = """
    CREATE TABLE dim_date AS
    WITH moments AS (
        SELECT ordered_at AS moment FROM orders
        UNION ALL SELECT shipped_at FROM shipments
        UNION ALL SELECT promised_at FROM shipments
        UNION ALL SELECT delivered_at FROM shipments
    ), span AS (
        SELECT make_date(min(year(moment)), 1, 1) AS first_day, make_date(max(year(moment)), 12, 31) AS last_day
        FROM moments
    ), days AS (
        SELECT unnest(generate_series(first_day, last_day, INTERVAL 1 DAY))::DATE AS d
        FROM span WHERE first_day IS NOT NULL
    )
    SELECT day_sk(d) AS date_sk, d AS date, year(d)::INTEGER AS year, quarter(d)::INTEGER AS quarter,
        month(d)::INTEGER AS month, monthname(d) AS month_name, weekofyear(d)::INTEGER AS iso_week,
        day(d)::INTEGER AS day_of_month, isodow(d)::INTEGER AS day_of_week, dayname(d) AS day_name,
        dayofyear(d)::INTEGER AS day_of_year, isodow(d) >= 6 AS is_weekend, d = last_day(d) AS is_month_end
    FROM days
    UNION ALL BY NAME
    SELECT -1::INTEGER AS date_sk
"""

STATEMENTS = (
    _history("customers", CUSTOMER_ATTRIBUTES, _FULL_NAME),
    _history("products", PRODUCT_ATTRIBUTES),
    _LOCATION,
    _DATE,
)
