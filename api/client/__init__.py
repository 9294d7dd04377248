"""A client of the API: typed, patient, and alone. It needs httpx2 (and pyarrow for Arrow) and nothing of the server.

>>> with Client("https://c360.example.com", key=key) as client:
...     for customer in client.search_customers(segment="VIP"):
...         print(customer["customer_id"])

Methods and types in :mod:`api.client.generated` come from the API's OpenAPI document by ``make client``.
"""

from __future__ import annotations

from api.client.errors import ApiError, ClientError, CursorExpiredError, UnreachableError
from api.client.generated import models
from api.client.generated.async_operations import AsyncClient
from api.client.generated.operations import Client

__all__ = ["ApiError", "AsyncClient", "Client", "ClientError", "CursorExpiredError", "UnreachableError", "models"]
