"""The tables of the store: made where they are missing; and beside the rows how far their topics were read.

The positions lie in the store and not with a group of Kafka's: they say what *this* store holds. A store that is new,
or was emptied, or has another prefix, has none and is filled from the beginning of the compacted topics, and one that
was restored from a backup goes on where the backup ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from c360.features.errors import StoreError
from c360.features.retrying import code_of
from c360.streams.features import EFFECTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from c360.events.places import Place
    from c360.features.retrying import Retrying
    from c360.features.tables import FeatureTable

POSITIONS, PLACE, SEEN = "feature-positions", "place", "seen"
MADE_WITHIN_S = 120.0
AT_ONCE = 100
MISSING = "ResourceNotFoundException"


def index_name(column: str) -> str:
    """Name of the index by that column."""
    return f"by_{column}"


class FeatureStore:
    """The writer's side of one store; requests are repeated by ``retrying``.

    Raises StoreError where a table is not as it should be, ClientError for refusals of DynamoDB that do not pass.
    """

    def __init__(self, client: Any, prefix: str, retrying: Retrying) -> None:
        self._client, self._prefix, self._retrying = client, prefix, retrying

    def ensure(self, tables: Iterable[FeatureTable]) -> list[str]:
        """Make the tables that are missing, and wait until all can be used; the names of those made.

        Raises:
            StoreError: a table of that name has another key or lacks the index, or is not ready in time.
        """
        wanted = {POSITIONS: _layout(PLACE)} | {table.store: _layout(table.key, table.index) for table in tables}
        made = [name for name, layout in wanted.items() if self._create(f"{self._prefix}{name}", layout)]
        for name, layout in wanted.items():
            self._await(f"{self._prefix}{name}", layout)
        return made

    def positions(self, cluster: str, places: Iterable[Place]) -> dict[Place, int]:
        """The offsets up to which, exclusive, everything of these partitions is stored; those unknown are left out.

        Positions of another cluster's topics of the same names are no positions of these.
        """
        found: dict[Place, int] = {}
        table = f"{self._prefix}{POSITIONS}"
        for topic, partition in places:
            key = {PLACE: {"S": f"{topic}/{partition}"}}
            answer = self._retrying(
                lambda key=key: self._client.get_item(TableName=table, Key=key, ConsistentRead=True)  # type: ignore[misc]
            )
            item = answer.get("Item")
            if item is not None and item["cluster"]["S"] == cluster:
                found[topic, partition] = int(item["next"]["N"])
        return found

    def keep(self, cluster: str, positions: Mapping[Place, int]) -> None:
        """Write down that everything before these offsets is stored."""
        items = [
            {PLACE: {"S": f"{topic}/{partition}"}, "next": {"N": str(offset)}, "cluster": {"S": cluster}}
            for (topic, partition), offset in positions.items()
        ]
        for start in range(0, len(items), AT_ONCE):
            puts = [
                {"Put": {"TableName": f"{self._prefix}{POSITIONS}", "Item": item}}
                for item in items[start : start + AT_ONCE]
            ]
            self._retrying(lambda puts=puts: self._client.transact_write_items(TransactItems=puts))  # type: ignore[misc]

    def saw(self, current_s: float, unread: int) -> None:
        """The broker has answered just now: what arrived by ``current_s`` is stored, so many messages are not."""
        item = {
            PLACE: {"S": SEEN}, "broker_s": {"N": f"{time.time():.3f}"}, "current_s": {"N": f"{current_s:.3f}"},
            "unread": {"N": str(unread)},
        }  # fmt: skip
        self._retrying(lambda: self._client.put_item(TableName=f"{self._prefix}{POSITIONS}", Item=item))

    def _create(self, name: str, layout: dict[str, Any]) -> bool:
        if self._described(name) is not None:
            return False
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        try:
            self._client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **layout)
        except ClientError as error:
            if code_of(error) != "ResourceInUseException":  # another has just made it
                raise
        return True

    def _described(self, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            found: dict[str, Any] = self._retrying(lambda: self._client.describe_table(TableName=name))["Table"]
        except ClientError as error:
            if code_of(error) == MISSING:
                return None
            raise
        return found

    def _await(self, name: str, layout: dict[str, Any]) -> None:
        until = time.monotonic() + MADE_WITHIN_S
        while True:
            found = self._described(name) or {}
            indexes = {each["IndexName"]: each for each in found.get("GlobalSecondaryIndexes", [])}
            if found.get("TableStatus") in {"ACTIVE", "UPDATING"}:
                if found["KeySchema"] != layout["KeySchema"]:
                    raise StoreError(f"The table {name} has another key", "set C360_FEATURE_PREFIX, or delete it")
                for wanted in layout.get("GlobalSecondaryIndexes", []):
                    if indexes.get(wanted["IndexName"], {}).get("KeySchema") != wanted["KeySchema"]:
                        raise StoreError(
                            f"The table {name} lacks the index {wanted['IndexName']}",
                            "set C360_FEATURE_PREFIX, or delete the table: it is filled again from its topic",
                        )
                if all(each.get("IndexStatus") == "ACTIVE" for each in indexes.values()):
                    return
            if time.monotonic() > until:
                raise StoreError(f"The table {name} is not ready after {MADE_WITHIN_S:.0f} s", "look at the service")
            time.sleep(0.2)


def _layout(key: str, index: str | None = None) -> dict[str, Any]:
    """Key, and index by another column with the newest last."""
    names = [key] if index is None else [key, index, EFFECTIVE]
    layout: dict[str, Any] = {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names],
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
    }
    if index is not None:
        layout["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index_name(index),
                "KeySchema": [
                    {"AttributeName": index, "KeyType": "HASH"},
                    {"AttributeName": EFFECTIVE, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ]
    return layout
