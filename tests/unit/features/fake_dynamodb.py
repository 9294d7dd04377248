"""As much of DynamoDB as the writer asks for, with the failures that the real one has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionClosedError  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"t-customer-segments": "customer_id", "t-anomaly-alerts": "alert_id"}
ORDER = "attribute_not_exists(#v) OR #v < :v OR (#v = :v AND #e < :e)"


def refusal(code: str, status: int = 400, **more: Any) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(answer, "TransactWriteItems")


class FakeDynamoDb:
    """Fails as it is told.

    ``faults`` gives a word for each request: "" answers, "lost" writes and loses the answer, "away" does nothing,
    "conflict" cancels for the sake of another transaction, any other is the code of a refusal.
    """

    def __init__(self, faults: Iterator[str]) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[int] = []
        self._faults, self._answered = faults, set[str]()

    def transact_write_items(self, *, ClientRequestToken: str, TransactItems: list[Any]) -> dict[str, Any]:  # noqa: N803
        self.requests.append(len(TransactItems))
        fault = next(self._faults, "")
        if fault == "away":
            raise ConnectionClosedError(endpoint_url="http://x")
        if fault == "conflict":
            raise refusal(
                "TransactionCanceledException",
                CancellationReasons=[{"Code": "TransactionConflict"}, *({"Code": "None"} for _ in TransactItems[1:])],
            )
        if fault not in {"", "lost"}:
            raise refusal(fault, 500 if fault == "InternalServerError" else 400)
        if ClientRequestToken not in self._answered:
            self._write([each["Put"] for each in TransactItems])
            self._answered.add(ClientRequestToken)
        if fault == "lost":
            raise ConnectionClosedError(endpoint_url="http://x")
        return {}

    def _write(self, puts: list[Any]) -> None:
        if any("unstorable" in str(put["Item"]) for put in puts):
            raise refusal("ValidationException")
        places = [self._place(put) for put in puts]
        assert len(set(places)) == len(places) <= 100
        fits = [self._fits(put, place) for put, place in zip(puts, places, strict=True)]
        if not all(fits):
            codes = [{"Code": "None" if fit else "ConditionalCheckFailed"} for fit in fits]
            raise refusal("TransactionCanceledException", CancellationReasons=codes)
        self.items |= {place: put["Item"] for place, put in zip(places, puts, strict=True)}

    def _fits(self, put: Any, place: tuple[str, str]) -> bool:
        assert put["ConditionExpression"] == ORDER
        assert put["ExpressionAttributeNames"] == {"#v": "version", "#e": "effective_at"}
        known = self.items.get(place)
        given = put["ExpressionAttributeValues"]
        if known is None or int(known["version"]["N"]) < int(given[":v"]["N"]):
            return True
        same = int(known["version"]["N"]) == int(given[":v"]["N"])
        return same and str(known["effective_at"]["S"]) < str(given[":e"]["S"])

    @staticmethod
    def _place(put: Any) -> tuple[str, str]:
        return put["TableName"], put["Item"][KEYS[put["TableName"]]]["S"]
