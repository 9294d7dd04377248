"""What the API answers with. Generated from the API's OpenAPI document by `make client`: do not edit."""

from __future__ import annotations

from typing import Any, Required, TypeAlias, TypedDict


class Alert(TypedDict, total=False):
    """Orders out of the ordinary up to as_of, whatever became of them."""

    alert_id: str | None
    customer_id: str | None
    order_id: str | None
    rule: str | None
    severity: str | None
    raised_at: str | None
    amount: str | None
    threshold: str | None
    orders_counted: int | None


class Consent(TypedDict, total=False):
    """Every accepted decision of a customer to allow or refuse one use of their data."""

    customer_id: str | None
    purpose: str | None
    granted: bool | None
    source: str | None
    updated_at: str | None


class Customer(TypedDict, total=False):
    """Everything the company knows about a customer in one row, as of a moment."""

    customer_id: str | None
    customer_sk: int | None
    full_name: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    birth_date: str | None
    language: str | None
    loyalty_tier: str | None
    acquisition_channel: str | None
    registered_at: str | None
    location_id: str | None
    street: str | None
    city: str | None
    postal_code: str | None
    region: str | None
    country_code: str | None
    consent_marketing_email: bool | None
    consent_marketing_sms: bool | None
    consent_profiling: bool | None
    consent_third_party: bool | None
    orders: int | None
    cancelled_orders: int | None
    revenue_amount: str | None
    average_order_value: str | None
    returned_amount: str | None
    first_order_at: str | None
    last_order_at: str | None
    recency_days: int | None
    r_score: int | None
    f_score: int | None
    m_score: int | None
    rfm_score: str | None
    segment_orders: int | None
    segment_spend: str | None
    last_placed_at: str | None
    segment: str | None
    favourite_category: str | None
    last_order_id: str | None
    last_order_status: str | None
    shipments: int | None
    delivered_shipments: int | None
    late_shipments: int | None
    open_shipments: int | None
    on_time_rate: str | None
    last_delivered_at: str | None
    captured_amount: str | None
    refunded_amount: str | None
    failed_payments: int | None
    payments: int | None
    web_events: int | None
    web_sessions: int | None
    product_views: int | None
    carts: int | None
    support_tickets: int | None
    first_seen_at: str | None
    last_seen_at: str | None
    return_rate: str | None
    cancellation_rate: str | None
    failed_payment_rate: str | None
    risk_score: int | None
    risk_level: str | None


class Delivery(TypedDict, total=False):
    """Shipments with their dates, cost and punctuality."""

    shipment_id: str | None
    order_id: str | None
    customer_id: str | None
    customer_sk: int | None
    location_sk: int | None
    carrier: str | None
    service_level: str | None
    warehouse: str | None
    status: str | None
    ship_date_sk: int | None
    promised_date_sk: int | None
    delivery_date_sk: int | None
    shipped_at: str | None
    promised_at: str | None
    delivered_at: str | None
    shipping_cost: str | None
    weight_kg: float | None
    transit_hours: str | None
    is_delivered: bool | None
    is_on_time: bool | None


class DeliveryFigures(TypedDict, total=False):
    """How fast, punctual and costly each carrier delivers, by month, service and country."""

    ship_month: str | None
    carrier: str | None
    service_level: str | None
    country_code: str | None
    shipments: int | None
    delivered: int | None
    on_time: int | None
    lost: int | None
    returned: int | None
    on_time_rate: str | None
    avg_transit_hours: str | None
    shipping_cost: str | None


class Event(TypedDict, total=False):
    """Every accepted action of a visitor on the web site or in the app."""

    event_id: str | None
    event_type: str | None
    event_timestamp: str | None
    source_system: str | None
    customer_id: str | None
    session_id: str | None
    product_id: str | None
    order_id: str | None
    device: str | None
    payload: str | None
    schema_version: int | None


class ExportedCustomer(TypedDict, total=False):
    """Everything the company knows about a customer in one row, as of a moment."""

    customer_id: str | None
    customer_sk: int | str | None
    full_name: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    birth_date: str | None
    language: str | None
    loyalty_tier: str | None
    acquisition_channel: str | None
    registered_at: str | None
    location_id: str | None
    street: str | None
    city: str | None
    postal_code: str | None
    region: str | None
    country_code: str | None
    consent_marketing_email: bool | None
    consent_marketing_sms: bool | None
    consent_profiling: bool | None
    consent_third_party: bool | None
    orders: int | None
    cancelled_orders: int | None
    revenue_amount: str | None
    average_order_value: str | None
    returned_amount: str | None
    first_order_at: str | None
    last_order_at: str | None
    recency_days: int | None
    r_score: int | None
    f_score: int | None
    m_score: int | None
    rfm_score: str | None
    segment_orders: int | None
    segment_spend: str | None
    last_placed_at: str | None
    segment: str | None
    favourite_category: str | None
    last_order_id: str | None
    last_order_status: str | None
    shipments: int | None
    delivered_shipments: int | None
    late_shipments: int | None
    open_shipments: int | None
    on_time_rate: str | None
    last_delivered_at: str | None
    captured_amount: str | None
    refunded_amount: str | None
    failed_payments: int | None
    payments: int | None
    web_events: int | None
    web_sessions: int | None
    product_views: int | None
    carts: int | None
    support_tickets: int | None
    first_seen_at: str | None
    last_seen_at: str | None
    return_rate: str | None
    cancellation_rate: str | None
    failed_payment_rate: str | None
    risk_score: int | None
    risk_level: str | None


class GraphqlError(TypedDict, total=False):
    """Why a field, or the query, is refused: `extensions.code`."""

    message: Required[str]
    extensions: Required[dict[str, Any]]
    locations: list[dict[str, Any]]
    path: list[Any]


class Inventory(TypedDict, total=False):
    """How long the stock of each product lasts at the pace of the last 7 days, and how much to order again."""

    product_id: str | None
    stock_on_hand: int | None
    units_sold_7d: int | None
    units_per_day: str | None
    days_until_stock_out: str | None
    status: str | None
    dead_stock: bool | None
    last_sold_at: str | None
    restock_quantity: int | None
    restock_urgency: str | None
    as_of: str | None


class LiveFeatures(TypedDict, total=False):
    """The newest row of the segment, and active alerts, newest first, as the feature store has them."""

    state: Required[str]
    current: Required[str | None]
    unread: Required[int]
    segment: Required[dict[str, Any] | None]
    alerts: Required[list[dict[str, Any]]]


LiveInventory: TypeAlias = dict[str, Any] | None


class LivePart(TypedDict, total=False):
    """The newest of its kind, who knows it (`stream` or `release`), and its own time."""

    source: Required[str]
    event_time: Required[str]
    record: Required[dict[str, Any]]


class LiveSales(TypedDict, total=False):
    """Sales in windows of an hour, sliding by five minutes, newest first, as the feature store has them."""

    state: Required[str]
    current: Required[str | None]
    unread: Required[int]
    windows: Required[list[dict[str, Any]]]


class Liveness(TypedDict, total=False):
    """`live`, `behind`, `stopped`, `absent`, `not_available`: then the release, or nothing, answers."""

    state: Required[str]
    current: str | None
    unread: int
    snapshot: str
    committed_at: str


class Order(TypedDict, total=False):
    """Orders with what their lines, parcels and payments add up to, for marts by day and by customer."""

    order_id: str | None
    customer_id: str | None
    location_id: str | None
    ordered_at: str | None
    order_status: str | None
    sales_channel: str | None
    is_cancelled: bool | None
    order_items: int | None
    units: int | None
    gross_amount: str | None
    discount_amount: str | None
    net_amount: str | None
    returned_amount: str | None
    revenue_amount: str | None
    shipments: int | None
    delivered_shipments: int | None
    on_time_shipments: int | None
    late_shipments: int | None
    open_shipments: int | None
    last_delivered_at: str | None
    payments: int | None
    failed_payments: int | None
    captured_amount: str | None
    refunded_amount: str | None


class Product(TypedDict, total=False):
    """What each product sold, earned and got back, and what is left in stock."""

    product_id: str | None
    product_name: str | None
    category: str | None
    brand: str | None
    status: str | None
    orders: int | None
    units_sold: int | None
    returned_units: int | None
    gross_amount: str | None
    discount_amount: str | None
    revenue_amount: str | None
    cost_amount: str | None
    margin_amount: str | None
    return_rate: str | None
    first_sold_at: str | None
    last_sold_at: str | None
    stock_on_hand: int | None


class ProfileVersion(TypedDict, total=False):
    """Customers with their full history (slowly changing dimension, type 2)."""

    customer_sk: int | None
    customer_id: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    birth_date: str | None
    location_id: str | None
    language: str | None
    loyalty_tier: str | None
    acquisition_channel: str | None
    registered_at: str | None
    full_name: str | None
    version_number: int | None
    version_at: str | None
    valid_from: str | None
    valid_to: str | None
    is_current: bool | None


class Release(TypedDict, total=False):
    """What the answer was read from: all tables as published together."""

    id: Required[str]
    as_of: Required[str]
    published_at: Required[str]


class ReleaseList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Release]]
    release: Required[Release]
    next: Required[str | None]


class SalesFigures(TypedDict, total=False):
    """Sales by day, channel and country, for trends and comparisons."""

    order_date: str | None
    sales_channel: str | None
    country_code: str | None
    orders: int | None
    order_items: int | None
    customers: int | None
    units: int | None
    gross_amount: str | None
    discount_amount: str | None
    net_amount: str | None
    returned_amount: str | None
    revenue_amount: str | None
    cancelled_orders: int | None


class SalesFiguresList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[SalesFigures]]
    release: Required[Release]
    next: Required[str | None]


class Segment(TypedDict, total=False):
    """A segment and how many customers it has."""

    segment: Required[str | None]
    customers: Required[int]


class SegmentList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Segment]]
    release: Required[Release]
    next: Required[str | None]


class SegmentSpell(TypedDict, total=False):
    """A time in one segment; `since` is null from the beginning, `until` while it lasts."""

    segment: Required[str]
    since: Required[str | None]
    until: Required[str | None]


class SegmentSpellList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[SegmentSpell]]
    release: Required[Release]
    next: Required[str | None]


class StreamWindow(TypedDict, total=False):
    """Number, sum and average of what the events of each five minutes say."""

    window_start: str | None
    window_end: str | None
    source_topic: str | None
    event_type: str | None
    measure: str | None
    event_count: int | None
    value_count: int | None
    value_sum: str | None
    value_avg: float | None


class StreamWindowList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[StreamWindow]]
    release: Required[Release]
    next: Required[str | None]
    live: Required[Liveness]
    sales: Required[LiveSales]


class Table(TypedDict, total=False):
    """A table that answers come from; its age in seconds."""

    table: Required[str]
    snapshot: Required[str]
    published_at: Required[str]
    age_s: Required[int]


class TableList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Table]]
    release: Required[Release]
    next: Required[str | None]


class TimelineEntry(TypedDict, total=False):
    """Something that happened, with the record that tells of it."""

    at: Required[str | None]
    kind: Required[str]
    record: Required[dict[str, Any]]


class TimelineEntryList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[TimelineEntry]]
    release: Required[Release]
    next: Required[str | None]


class AlertList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Alert]]
    release: Required[Release]
    next: Required[str | None]


class ConsentList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Consent]]
    release: Required[Release]
    next: Required[str | None]


class CustomerAnswer(TypedDict, total=False):
    """It, and the release it was read from."""

    data: Required[Customer]
    release: Required[Release]


class CustomerBatch(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Customer]]
    release: Required[Release]
    next: Required[str | None]
    missing: Required[list[str]]


class CustomerList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Customer]]
    release: Required[Release]
    next: Required[str | None]


class DeliveryFiguresList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[DeliveryFigures]]
    release: Required[Release]
    next: Required[str | None]


class DeliveryList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Delivery]]
    release: Required[Release]
    next: Required[str | None]


class EventList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Event]]
    release: Required[Release]
    next: Required[str | None]


class GraphqlAnswer(TypedDict, total=False):
    """What was found; `errors` tell what was refused."""

    data: Required[dict[str, Any] | None]
    errors: list[GraphqlError]
    extensions: Required[dict[str, Any]]


class InventoryAnswer(TypedDict, total=False):
    """It, and the release it was read from."""

    data: Required[Inventory]
    release: Required[Release]


class InventoryList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Inventory]]
    release: Required[Release]
    next: Required[str | None]


class LiveCustomer(TypedDict, total=False):
    """What is newest of a customer, by part; null for what never happened."""

    customer_id: Required[str]
    parts: Required[dict[str, LivePart | None]]
    features: Required[LiveFeatures]


class LiveInventoryAnswer(TypedDict, total=False):
    """It, and the release it was read from."""

    data: Required[LiveInventory]
    release: Required[Release]
    live: Required[Liveness]


class OrderList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Order]]
    release: Required[Release]
    next: Required[str | None]


class ProductAnswer(TypedDict, total=False):
    """It, and the release it was read from."""

    data: Required[Product]
    release: Required[Release]


class ProductList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[Product]]
    release: Required[Release]
    next: Required[str | None]


class ProfileVersionList(TypedDict, total=False):
    """A page of them, and the release they were read from."""

    data: Required[list[ProfileVersion]]
    release: Required[Release]
    next: Required[str | None]


class LiveAnswer(TypedDict, total=False):
    """It, and the release it was read from."""

    data: Required[LiveCustomer]
    release: Required[Release]
    live: Required[Liveness]
