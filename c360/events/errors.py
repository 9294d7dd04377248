"""What can befall an event, each with a name of its own: results and dead letters carry the name."""

from __future__ import annotations

from c360.errors import C360Error


class EventsError(C360Error):
    """Topics, schemas or keys are not as the events need them."""


class TopicError(EventsError):
    """A topic cannot be created, described or altered as asked."""


class KeyRingError(EventsError):
    """The keys for encrypted fields cannot be read."""


class EventError(EventsError):
    """One event was not published, or one message could not be taken."""


class InvalidEvent(EventError):
    """The event breaks its topic's contract."""


class UnknownEventType(InvalidEvent):
    """No topic takes events of this type."""


class UnknownSchemaVersion(InvalidEvent):
    """The event was written with a schema version that the contract does not know."""


class EventTooLarge(EventError):
    """The encoded event is larger than a message may be."""


class EncryptionKeyMissing(EventError):
    """The event holds a field that must be encrypted, and there is no key to do it with."""


class DecryptionFailed(EventError):
    """An encrypted field is damaged, or was moved from another event."""


class SchemaRefused(EventError):
    """The registry refuses the topic's schema: readers of the present one could not take it."""


class RegistryUnreachable(EventError):
    """The schema registry does not answer, so nobody can say whether the schema is allowed."""


class BrokerUnreachable(EventError):
    """No broker took the event within the delivery time."""


class DeliveryRefused(EventError):
    """The broker answered, and did not take the event."""


class TransactionAborted(EventError):
    """Another event of the same transaction failed, so none of them is visible to readers of committed messages."""


class HandlerFailed(EventError):
    """The reader's own code failed on the event, also when tried again."""


class RefusedAgain(EventError):
    """The event is valid, and the stream that has refused it before would refuse it once more."""
