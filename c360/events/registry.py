"""The schema registry guards the topics: a new schema must be able to read what is already in the log (BACKWARD)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from c360.events.errors import RegistryUnreachable, SchemaRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from confluent_kafka.schema_registry import SchemaRegistryClient

    from c360.events.schema import EventSchema

    T = TypeVar("T")

COMPATIBILITY = "BACKWARD"
_NOT_FOUND, _CONFLICT, _UNPROCESSABLE = 404, 409, 422


class RegistryClient:
    """A registry with the Confluent interface (Apicurio: ``http://host:port/apis/ccompat/v7``).

    Subjects are ``<topic>-value``. Answers take at most ``timeout`` seconds, tried once more.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self.url = url
        self._timeout = timeout

    def admit(self, schema: EventSchema) -> int:
        """Make sure the registry knows the topic's schema; its id.

        A schema that was admitted once stays so: an older producer keeps working beside a newer one. Raises
        SchemaRefused if it is new and incompatible or no valid schema, RegistryUnreachable if there is no answer.
        """
        from confluent_kafka.schema_registry import Schema

        subject, body = subject_of(schema), Schema(json.dumps(schema.json_schema), "JSON")
        with self._open() as client:
            fresh = not self._versions(client, subject)
            if not fresh:
                self._guard(client, subject)
            found: int = self._ask(schema, lambda: client.register_schema(subject, body))
            if fresh:
                # Not before: some registries know no rule for a subject without versions.
                self._guard(client, subject)
        return found

    def check(self, schema: EventSchema) -> None:
        """Ask whether the topic's schema may follow the present one; registers nothing. Raises as :meth:`admit`."""
        from confluent_kafka.schema_registry import Schema

        subject, body = subject_of(schema), Schema(json.dumps(schema.json_schema), "JSON")
        with self._open() as client:
            if not self._versions(client, subject):
                return
            self._guard(client, subject)
            if not self._ask(schema, lambda: client.test_compatibility(subject, body)):
                raise _refused(schema, "it is not backward compatible")

    def _open(self) -> SchemaRegistryClient:
        """A client for one question, to be closed after it: a topic asks once in a producer's life."""
        from confluent_kafka.schema_registry import SchemaRegistryClient

        return SchemaRegistryClient({"url": self.url, "timeout": self._timeout, "max.retries": 1})

    def _versions(self, client: SchemaRegistryClient, subject: str) -> list[int]:
        from confluent_kafka.schema_registry import SchemaRegistryError

        def ask() -> list[int]:
            try:
                return list(client.get_versions(subject))
            except SchemaRegistryError as error:
                if error.http_status_code == _NOT_FOUND:
                    return []
                raise

        return self._ask(None, ask)

    def _guard(self, client: SchemaRegistryClient, subject: str) -> None:
        from confluent_kafka.schema_registry import SchemaRegistryError

        def ask() -> None:
            try:
                level = client.get_compatibility(subject)
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
                level = None
            if level != COMPATIBILITY:
                client.set_compatibility(subject_name=subject, level=COMPATIBILITY)

        self._ask(None, ask)

    def _ask(self, schema: EventSchema | None, question: Callable[[], T]) -> T:
        from confluent_kafka.schema_registry import SchemaRegistryError

        try:
            return question()
        except SchemaRegistryError as error:
            if schema is not None and error.http_status_code in (_CONFLICT, _UNPROCESSABLE):
                raise _refused(schema, str(error.error_message)) from error
            raise RegistryUnreachable(
                f"The schema registry at {self.url} answers with an error ({error.http_status_code})",
                "look into its log",
            ) from error
        except Exception as error:
            # The client lets through the errors of whichever HTTP library it has found.
            raise RegistryUnreachable(
                f"The schema registry at {self.url} does not answer ({type(error).__name__})",
                "start it, or mend its address",
            ) from error


def subject_of(schema: EventSchema) -> str:
    """The registry's name for the messages of the schema's topic."""
    return f"{schema.topic}-value"


def _refused(schema: EventSchema, reason: str) -> SchemaRefused:
    return SchemaRefused(
        f"The registry refuses version {schema.contract.version} of {schema.topic}: {reason[:500]}",
        "add only optional fields, or open a new topic",
    )
