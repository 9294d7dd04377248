"""The store for readers: rows by key and by customer, within a bounded time, or a plain word why not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from c360.features.client import CONNECTIONS, client_of
from c360.features.errors import StoreError
from c360.features.retrying import code_of
from c360.features.rows import record_of
from c360.features.store import MISSING, PLACE, POSITIONS, SEEN, index_name
from c360.features.tables import feature_tables
from c360.live.store import Liveness, liveness_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from c360.features.rows import Item
    from c360.features.tables import FeatureTable
    from c360.settings import Settings

    T = TypeVar("T")
    Record = dict[str, Any]

AT_ONCE = 100
"""Most keys in one request."""
PAGES = 3
"""Most requests for the rows of one customer."""
REST_S = 1.0
"""For how long nothing is asked after a failure."""
ABSENT, AWAY = Liveness("absent", None, 0), Liveness("not_available", None, 0)


class FeatureReader:
    """For any thread.

    After a failure it answers ``not_available`` by itself for a second, and so it does while as many requests as it has
    connections wait for the store.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._lock, self._free = threading.Lock(), threading.BoundedSemaphore(CONNECTIONS)
        self._rests_until = 0.0

    @property
    def tables(self) -> Mapping[str, FeatureTable]:
        """The features that can be asked for, by name."""
        return feature_tables()

    def ask(self, read: Callable[[], T], nothing: T) -> tuple[Liveness, T]:
        """What ``read`` finds and how live it is.

        ``nothing`` where the state is ``absent``, because nothing was ever stored, or ``not_available``, because the
        store did not answer.
        """
        if time.monotonic() < self._rests_until or not self._free.acquire(blocking=False):
            return AWAY, nothing
        try:
            return self.liveness(), read()
        except StoreError:
            self._rests_until = time.monotonic() + REST_S
            return AWAY, nothing
        except KeyError:
            return ABSENT, nothing
        finally:
            self._free.release()

    def liveness(self) -> Liveness:
        """How far the sink is. Raises StoreError where the store does not answer, KeyError where there is none."""
        answer = self._call("get_item", TableName=self._table(POSITIONS), Key={PLACE: {"S": SEEN}})
        item = answer.get("Item")
        if item is None:
            return ABSENT
        return liveness_of((float(item["broker_s"]["N"]), float(item["current_s"]["N"]), int(item["unread"]["N"])))

    def rows(self, name: str, keys: Sequence[str]) -> list[Record]:
        """The rows of these keys that there are, in their order. Raises as :meth:`liveness`."""
        table = self.tables[name]
        found: dict[str, Item] = {}
        stored = self._table(table.store)
        for start in range(0, len(keys), AT_ONCE):
            wanted: Any = {stored: {"Keys": [{table.key: {"S": key}} for key in keys[start : start + AT_ONCE]]}}
            for _ in range(PAGES):
                answer = self._call("batch_get_item", RequestItems=wanted)
                found |= {item[table.key]["S"]: item for item in answer.get("Responses", {}).get(stored, [])}
                wanted = answer.get("UnprocessedKeys")
                if not wanted:
                    break
            else:
                raise StoreError("The store did not give all rows", "ask again")
        return [record_of(table, found[key]) for key in keys if key in found]

    def of_customer(self, name: str, customer_id: str, most: int, only: str) -> list[Record]:
        """The customer's newest rows in which the flag ``only`` is set, newest first. Raises as :meth:`liveness`."""
        table = self.tables[name]
        if table.index is None:
            raise KeyError(name)
        asked: dict[str, Any] = {
            "TableName": self._table(table.store), "IndexName": index_name(table.index), "ScanIndexForward": False,
            "KeyConditionExpression": "#c = :c", "FilterExpression": "#o = :t", "Limit": AT_ONCE,
            "ExpressionAttributeNames": {"#c": table.index, "#o": only},
            "ExpressionAttributeValues": {":c": {"S": customer_id}, ":t": {"BOOL": True}},
        }  # fmt: skip
        found: list[Item] = []
        for _ in range(PAGES):
            answer = self._call("query", **asked)
            found += answer["Items"]
            if len(found) >= most or "LastEvaluatedKey" not in answer:
                break
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return [record_of(table, item) for item in found[:most]]

    def warm(self) -> None:
        """Make the client, which takes half a second of reading what DynamoDB can do; nothing is asked."""
        with self._lock:
            if self._client is None:
                self._client = client_of(self._settings, "reader")

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _table(self, name: str) -> str:
        return f"{self._settings.feature_prefix}{name}"

    def _call(self, operation: str, **asked: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            self.warm()
            found: dict[str, Any] = getattr(self._client, operation)(**asked)
        except ClientError as error:
            if code_of(error) == MISSING:
                raise KeyError(operation) from error
            raise StoreError(
                f"The feature store refuses ({code_of(error)})", "see that its settings and credentials fit"
            ) from error
        except BotoCoreError as error:
            raise StoreError(
                f"The feature store does not answer ({type(error).__name__})", "start it with `c360 up features`"
            ) from error
        return found
