"""What the fields of one request read, as the policy permits each of them, and what goes on record for it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from api.asking import decided
from api.graphql.types import LISTS, field_name
from api.middleware import MOST_SECONDS
from api.paging import page
from api.problem import ProblemError, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import Request

    from api.asking import Asking, Row
    from api.graphql.limits import Plan
    from api.security.audit import Outcome
    from api.security.decision import View
    from api.security.principal import Principal
    from api.serving.source import ReleaseSource
    from api.state import State

T = TypeVar("T")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Person(dict[str, Any]):
    """A customer as shown, and ``row``, by which it is decided what else of them may be seen."""

    def __init__(self, shown: dict[str, Any], row: Row) -> None:
        super().__init__(shown)
        for name in LISTS:
            if name in shown:
                self[field_name(name)] = self.pop(name)
        self.row = row
        self.id: str = row["customer_id"]


class Reading:
    """One request. Its fields run one after the other, in a thread, and all read from the one ``source``."""

    def __init__(
        self, request: Request, principal: Principal, purpose: str | None, source: ReleaseSource, plan: Plan
    ) -> None:
        self.source, self._request, self._principal, self._purpose, self._plan = (
            source, request, principal, purpose, plan,
        )  # fmt: skip
        self.state: State = request.app.state.c360
        self.request_id: str = request.scope["state"]["request_id"]
        self.refused: ProblemError | None = None
        """The first field that was not permitted."""
        self.permitted = False
        self._asking: dict[str, Asking] = {}
        self._noted: dict[tuple[str, Outcome, str, str, str], dict[str, None]] = {}
        self._until = time.monotonic() + MOST_SECONDS

    def may(self, action: str, resource: str) -> Asking:
        """The caller, if they may do this at all. Raises ProblemError 403."""
        if action not in self._asking:
            self._asking[action] = decided(self._request, self._principal, self._purpose, action)
        asking = self._asking[action]
        if not asking.decision.allowed:
            self.note(asking, "denied", resource)
            refusal = ProblemError(403, asking.decision.reason, "Your roles do not permit this.")
            self.refused = self.refused or refusal
            raise refusal
        return asking

    def note(
        self,
        asking: Asking,
        outcome: Outcome,
        resource: str,
        subjects: Sequence[str] = (),
        view: str = "",
        of: str = "",
    ) -> None:
        """Remember for the record; ``of`` is the type whose fields were asked for, without it all are meant."""
        self.permitted = self.permitted or outcome != "denied"
        key = asking.decision.action, outcome, resource, view, of
        self._noted.setdefault(key, {}).update(dict.fromkeys(subjects))

    def record(self) -> None:
        """Put all that was read on record. Raises AuditError, and then nothing may be answered."""
        for (action, outcome, resource, view, of), subjects in self._noted.items():
            fields = tuple(sorted(self._plan.columns.get(of, ())))
            self._asking[action].note(outcome, resource, tuple(subjects), view, fields)

    def read(self, read: Callable[..., T], *about: Any) -> T:
        """Read, unless the request has taken too long by now. Raises ProblemError 503."""
        if time.monotonic() > self._until:
            raise ProblemError(503, "too_slow", "The answer took too long.")
        return read(*about)

    @property
    def release(self) -> dict[str, str]:
        """What all is read from."""
        return {
            "id": self.source.id,
            "as_of": _utc(self.source.as_of),
            "published_at": _utc(self.source.published_at),
        }

    def after(self, cursor: str | None, about: str) -> str:
        """The item after which the page begins. Raises ProblemError 400 for the cursor of another list."""
        return "" if cursor is None else self.state.cursors.read(cursor, about)[1]

    def onward(self, about: str, after: object) -> str | None:
        """The cursor of the page after that item; None after the last."""
        return None if after is None else self.state.cursors.make(self.source.id, about, str(after))

    def identifier(self, text: str) -> str:
        """The id, if it can be one. Raises ProblemError 422."""
        if not _ID.fullmatch(text):
            raise ProblemError(422, "not_valid", "An id is 1 to 64 letters, digits, - and _.")
        return text

    def people(self, asking: Asking, ids: Sequence[str], resource: str) -> list[Person]:
        """The customers among ``ids`` that are there and may be seen, as they may be."""
        found = []
        for each in ids:
            row = self.read(self.source.one, "customer", each)
            view = None if row is None else asking.decision.view_of(row)
            if row is not None and view is not None:
                found.append(Person(self.state.presenting.show("customer", view)(row), row))
                self.note(asking, "permitted", resource, (each,), view.id, "Customer")
        if not found:
            # Whom a look-up found and may not show is not named, as with the other routes.
            outcome: Outcome = "permitted" if resource == "customers" else "not_found"
            self.note(asking, outcome, resource, ids if resource == "customer" else ())
        return found

    def belonging(self, asking: Asking, person: Person, part: str, of: str = "") -> View:
        """How what belongs to this customer is shown. Raises ProblemError 404 if it may not be seen at all."""
        view = asking.decision.view_of(person.row)
        if view is None:
            self.note(asking, "not_found", part, (person.id,))
            raise not_found("customer")
        self.note(asking, "permitted", part, (person.id,), view.id, of)
        return view

    def paged(self, rows: Sequence[T], about: str, first: int, after: str | None) -> tuple[list[T], str | None]:
        """A page of a list that was read as a whole, and the cursor of the next one."""
        items, following = page(rows, int(self.after(after, about) or 0), first)
        return list(items), self.onward(about, following)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
