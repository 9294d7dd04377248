"""The API's operations as methods. Generated from the API's OpenAPI document by `make client`: do not edit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from api.client.answers import AsyncListing
from api.client.asynchronous import AsyncCaller
from api.client.call import Call
from api.client.generated import models

if TYPE_CHECKING:
    pass


class AsyncClient(AsyncCaller):
    """Every operation of the API as a method; its settings are those of :class:`AsyncCaller`."""

    def export_customers(
        self,
        *,
        segment: str | None = None,
        loyalty_tier: str | None = None,
        country_code: str | None = None,
        region: str | None = None,
        risk_level: str | None = None,
        language: str | None = None,
        acquisition_channel: str | None = None,
        min_orders: int | None = None,
        min_revenue: float | None = None,
        max_recency_days: int | None = None,
        as_of: datetime | str | None = None,
    ) -> AsyncIterator[models.ExportedCustomer]:
        """Every customer that fits all filters, of one release. The stream is whole if its last line, or batch, is."""
        return self._rows(
            models.ExportedCustomer,
            Call(
                "GET",
                "/v1/customers/export",
                query={
                    "segment": segment,
                    "loyalty_tier": loyalty_tier,
                    "country_code": country_code,
                    "region": region,
                    "risk_level": risk_level,
                    "language": language,
                    "acquisition_channel": acquisition_channel,
                    "min_orders": min_orders,
                    "min_revenue": min_revenue,
                    "max_recency_days": max_recency_days,
                    "as_of": as_of,
                    "format": "ndjson",
                },
            ),
        )

    def search_customers(
        self,
        *,
        segment: str | None = None,
        loyalty_tier: str | None = None,
        country_code: str | None = None,
        region: str | None = None,
        risk_level: str | None = None,
        language: str | None = None,
        acquisition_channel: str | None = None,
        min_orders: int | None = None,
        min_revenue: float | None = None,
        max_recency_days: int | None = None,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.Customer, models.CustomerList]:
        """Customers that fit all filters, by id."""
        return self._listing(
            models.Customer,
            models.CustomerList,
            Call(
                "GET",
                "/v1/customers",
                query={
                    "segment": segment,
                    "loyalty_tier": loyalty_tier,
                    "country_code": country_code,
                    "region": region,
                    "risk_level": risk_level,
                    "language": language,
                    "acquisition_channel": acquisition_channel,
                    "min_orders": min_orders,
                    "min_revenue": min_revenue,
                    "max_recency_days": max_recency_days,
                    "as_of": as_of,
                    "limit": limit,
                    "cursor": cursor,
                },
            ),
        )

    def get_segment_customers(
        self, segment: str, *, as_of: datetime | str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> AsyncListing[models.Customer, models.CustomerList]:
        """Members of a segment, by id."""
        return self._listing(
            models.Customer,
            models.CustomerList,
            Call(
                "GET",
                "/v1/segments/{segment}/customers",
                values={"segment": segment},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    async def lookup_customers(
        self, *, as_of: datetime | str | None = None, email: str | None = None, phone: str | None = None
    ) -> models.CustomerList:
        """Customers with exactly this e-mail address or telephone number; several may share one."""
        return await self._answer(
            models.CustomerList,
            Call("POST", "/v1/customers/lookup", query={"as_of": as_of}, body={"email": email, "phone": phone}),
        )

    async def get_customers(self, *, ids: list[str], as_of: datetime | str | None = None) -> models.CustomerBatch:
        """Up to 500 customers by id, in the order asked for; ``missing`` are not there, or may not be seen."""
        return await self._answer(
            models.CustomerBatch, Call("POST", "/v1/customers/batch", query={"as_of": as_of}, body={"ids": ids})
        )

    async def get_customer(self, customer_id: str, *, as_of: datetime | str | None = None) -> models.CustomerAnswer:
        """Everything known about a customer, in one row."""
        return await self._answer(
            models.CustomerAnswer,
            Call("GET", "/v1/customers/{customer_id}", values={"customer_id": customer_id}, query={"as_of": as_of}),
        )

    def get_customer_timeline(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.TimelineEntry, models.TimelineEntryList]:
        """Orders, deliveries, events, consents and alerts in one stream, newest first."""
        return self._listing(
            models.TimelineEntry,
            models.TimelineEntryList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/timeline",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    def get_customer_segment_history(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.SegmentSpell, models.SegmentSpellList]:
        """Segments that the customer went through, newest first, by the orders that the release knows."""
        return self._listing(
            models.SegmentSpell,
            models.SegmentSpellList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/segment-history",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    def get_customer_orders(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.Order, models.OrderList]:
        """Orders, newest first."""
        return self._listing(
            models.Order,
            models.OrderList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/orders",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    def get_customer_deliveries(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.Delivery, models.DeliveryList]:
        """Shipments, newest first."""
        return self._listing(
            models.Delivery,
            models.DeliveryList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/deliveries",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    def get_customer_events(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.Event, models.EventList]:
        """What the customer did on the web, newest first."""
        return self._listing(
            models.Event,
            models.EventList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/events",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    def get_customer_alerts(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.Alert, models.AlertList]:
        """Orders out of the ordinary, newest first."""
        return self._listing(
            models.Alert,
            models.AlertList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/alerts",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    def get_customer_consents(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.Consent, models.ConsentList]:
        """Consents given and withdrawn, newest first."""
        return self._listing(
            models.Consent,
            models.ConsentList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/consents",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    def get_customer_profile_history(
        self,
        customer_id: str,
        *,
        as_of: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> AsyncListing[models.ProfileVersion, models.ProfileVersionList]:
        """Versions of the profile, newest first."""
        return self._listing(
            models.ProfileVersion,
            models.ProfileVersionList,
            Call(
                "GET",
                "/v1/customers/{customer_id}/profile-history",
                values={"customer_id": customer_id},
                query={"as_of": as_of, "limit": limit, "cursor": cursor},
            ),
        )

    async def get_customer_live(self, customer_id: str) -> models.LiveAnswer:
        """The newest event, purchase and payment, each with its own time; segment and active alerts of the streams."""
        return await self._answer(
            models.LiveAnswer, Call("GET", "/v1/customers/{customer_id}/live", values={"customer_id": customer_id})
        )

    async def get_live_metrics(self, *, hours: int | None = None) -> models.StreamWindowList:
        """Counts, sums and averages of the streams' closed windows of five minutes, newest first; sales by the hour."""
        return await self._answer(models.StreamWindowList, Call("GET", "/v1/metrics/live", query={"hours": hours}))

    async def get_product_inventory_live(self, product_id: str) -> models.LiveInventoryAnswer:
        """How long the stock of a product lasts by what the streams know this moment; null while they know nothing."""
        return await self._answer(
            models.LiveInventoryAnswer,
            Call("GET", "/v1/products/{product_id}/inventory/live", values={"product_id": product_id}),
        )

    def list_products(
        self, *, as_of: datetime | str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> AsyncListing[models.Product, models.ProductList]:
        """Products with their performance, by id."""
        return self._listing(
            models.Product,
            models.ProductList,
            Call("GET", "/v1/products", query={"as_of": as_of, "limit": limit, "cursor": cursor}),
        )

    async def get_product(self, product_id: str, *, as_of: datetime | str | None = None) -> models.ProductAnswer:
        """A product and its performance."""
        return await self._answer(
            models.ProductAnswer,
            Call("GET", "/v1/products/{product_id}", values={"product_id": product_id}, query={"as_of": as_of}),
        )

    def list_inventory(
        self, *, as_of: datetime | str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> AsyncListing[models.Inventory, models.InventoryList]:
        """How long the stock of each product lasts, by id of the product."""
        return self._listing(
            models.Inventory,
            models.InventoryList,
            Call("GET", "/v1/inventory", query={"as_of": as_of, "limit": limit, "cursor": cursor}),
        )

    async def get_product_inventory(
        self, product_id: str, *, as_of: datetime | str | None = None
    ) -> models.InventoryAnswer:
        """How long the stock of a product lasts, and how much to order again."""
        return await self._answer(
            models.InventoryAnswer,
            Call(
                "GET", "/v1/products/{product_id}/inventory", values={"product_id": product_id}, query={"as_of": as_of}
            ),
        )

    async def get_sales_metrics(
        self, *, start: date | str, end: date | str, as_of: datetime | str | None = None
    ) -> models.SalesFiguresList:
        """Sales by day, channel and country."""
        return await self._answer(
            models.SalesFiguresList,
            Call("GET", "/v1/metrics/sales", query={"start": start, "end": end, "as_of": as_of}),
        )

    async def get_delivery_metrics(
        self, *, start: date | str, end: date | str, as_of: datetime | str | None = None
    ) -> models.DeliveryFiguresList:
        """Deliveries by month, carrier, service and country."""
        return await self._answer(
            models.DeliveryFiguresList,
            Call("GET", "/v1/metrics/deliveries", query={"start": start, "end": end, "as_of": as_of}),
        )

    async def list_segments(self, *, as_of: datetime | str | None = None) -> models.SegmentList:
        """Segments and how many customers they have."""
        return await self._answer(models.SegmentList, Call("GET", "/v1/segments", query={"as_of": as_of}))

    async def list_tables(self) -> models.TableList:
        """The tables that the answers come from: snapshot, rows and when they were published."""
        return await self._answer(models.TableList, Call("GET", "/v1/tables"))

    async def list_releases(self) -> models.ReleaseList:
        """Releases that are kept as an index, newest first."""
        return await self._answer(models.ReleaseList, Call("GET", "/v1/releases"))

    async def ask_graphql(
        self,
        *,
        query: str,
        as_of: datetime | str | None = None,
        variables: dict[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> models.GraphqlAnswer:
        """GraphQL: what the other routes give, as the same roles may see it, in one answer of one release."""
        return await self._answer(
            models.GraphqlAnswer,
            Call(
                "POST",
                "/v1/graphql",
                query={"as_of": as_of},
                body={"query": query, "variables": variables, "operationName": operation_name},
            ),
        )
