"""Decisions by the policy in ``policy.cedar``, asked of the Cedar engine once and then remembered.

Cedar and not Casbin: its policy is a text that says what it means and is checked against a schema, a prohibition wins
over every permission, and an answer takes a tenth of a millisecond where Casbin took two.
"""

from __future__ import annotations

import itertools
import json
import re
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast, get_args

from api.security.decision import EMAIL_CONSENT, SMS_CONSENT, Conditions, Decision, View
from api.security.errors import PolicyError
from c360.contracts.loader import get_contract
from c360.contracts.model import Classification
from c360.privacy.masking import Presentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.security.principal import Principal, Role

MOST_REMEMBERED = 10_000
PURPOSES = frozenset({"marketing", "privacy"})
"""Purposes that the policy asks for; others may be granted and change nothing."""
CLASSES = cast("tuple[Classification, ...]", get_args(Classification))
_FORMS = tuple(Presentation)[:-1]
_CONSENTS = tuple(itertools.product((False, True), repeat=2))
_COLUMN = re.compile(r'Column::"(\w+)"')


class Action(StrEnum):
    """What can be asked of the API, whether by a path or by GraphQL."""

    READ_CUSTOMER = "customer:read"
    """One customer by id, and their orders, deliveries, events, alerts, timeline, segments and consents."""
    LOOKUP_CUSTOMER = "customer:lookup"
    """One customer by the exact e-mail address or telephone number."""
    SEARCH_CUSTOMERS = "customer:search"
    """Customers by filters, members of a segment."""
    BATCH_CUSTOMERS = "customer:batch"
    EXPORT_CUSTOMERS = "customer:export"
    READ_ALERTS = "alert:read"
    READ_PRODUCTS = "product:read"
    """Products, their performance and stock."""
    READ_METRICS = "metric:read"
    """Sales and deliveries over time, sizes of segments."""
    READ_TABLES = "table:read"
    """Tables, snapshots and freshness."""
    READ_AUDIT = "audit:read"


class Policy:
    """The policy, ready to decide. Raises PolicyError if its text does not hold together.

    ``text`` replaces the product's own policy, for tests.
    """

    def __init__(self, text: str | None = None) -> None:
        import cedarpy

        text = text if text is not None else _packaged("policy.cedar")
        schema = _packaged("policy.cedarschema")
        checked = cedarpy.validate_policies(text, schema)
        if not checked.validation_passed:
            raise PolicyError(
                f"The policy does not hold together ({checked.errors[0]})", "mend api/security/policy.cedar"
            )
        self._columns = _classes_of(set(_COLUMN.findall(text)))
        entities = [_entity("Column", name, cls) for name, cls in self._columns.items()]
        self._engine = cedarpy
        self._policies = cedarpy.PolicySet.from_str(text)
        self._entities = cedarpy.Entities.from_json_str(json.dumps(entities), schema)
        self._scopes = frozenset({*Action, "pii:clear"})
        self._decided: dict[tuple[object, ...], Decision] = {}
        self._by_role: dict[tuple[object, ...], Mapping[tuple[bool, bool, bool], View]] = {}

    def decide(self, principal: Principal, action: str, purpose: str | None = None) -> Decision:
        """What this principal may do of this action.

        ``purpose`` is the one that the request states; it must be granted, and no other then counts. Without it all
        purposes granted count.
        """
        key = (principal.roles, principal.regions, principal.purposes, principal.scopes, action, purpose)
        found = self._decided.get(key)
        if found is None:
            if len(self._decided) >= MOST_REMEMBERED:
                self._decided.clear()
            found = self._decided[key] = self._decide(principal, action, purpose)
        return found

    def _decide(self, principal: Principal, action: str, purpose: str | None) -> Decision:
        if action not in set(Action):
            return Decision(allowed=False, reason="unknown_action", action=action)
        if purpose is not None and purpose not in principal.purposes:
            return Decision(allowed=False, reason="purpose_not_granted", action=action)
        purposes = (principal.purposes if purpose is None else frozenset({purpose})) & PURPOSES
        admitted = self._admitted(principal, action, purposes)
        if not admitted:
            missing = self._admitted(principal, action, PURPOSES)
            return Decision(allowed=False, reason="purpose_needed" if missing else "not_permitted", action=action)
        everywhere = principal.regions is None or any(not here for here, *_ in admitted)
        views = {(mail, sms): view for (here, mail, sms), view in admitted.items() if here}
        conditions = Conditions(None if everywhere else principal.regions, _needs(views))
        return Decision(allowed=True, reason="permitted", action=action, conditions=conditions, views=views)

    def _admitted(
        self, principal: Principal, action: str, purposes: frozenset[str]
    ) -> dict[tuple[bool, bool, bool], View]:
        """(in region, consent by e-mail, by text message) → view, for the customers that any of the roles admits."""
        found: dict[tuple[bool, bool, bool], View] = {}
        for role in principal.roles:
            for case, view in self._views(role, action, purposes, principal.scopes & self._scopes).items():
                found[case] = _wider(found[case], view, self._columns) if case in found else view
        return found

    def _views(
        self, role: Role, action: str, purposes: frozenset[str], scopes: frozenset[str]
    ) -> Mapping[tuple[bool, bool, bool], View]:
        key = (role, action, purposes, scopes)
        if key in self._by_role:
            return self._by_role[key]
        views: dict[tuple[bool, bool, bool], View] = {}
        for here, (mail, sms) in itertools.product((True, False), _CONSENTS):
            context = {
                "doing": str(action), "in_region": here, "email_consent": mail, "sms_consent": sms,
                "purposes": sorted(purposes), "scopes": sorted(scopes),
            }  # fmt: skip
            if self._ask(role, action, [("Api", "api")], context)[0]:
                views[here, mail, sms] = self._view(role, context)
        if len(self._by_role) >= MOST_REMEMBERED:
            self._by_role.clear()
        self._by_role[key] = views
        return views

    def _view(self, role: Role, context: Mapping[str, Any]) -> View:
        asked = [("Class", name) for name in CLASSES] + [("Column", name) for name in self._columns]
        shown: dict[tuple[str, str], Presentation] = {}
        for form in _FORMS:
            left = [what for what in asked if what not in shown]
            if left:
                answers = self._ask(role, f"show:{form}", left, context)
                shown |= {what: form for what, yes in zip(left, answers, strict=True) if yes}
        classes = {name: shown.get(("Class", name), Presentation.WITHHELD) for name in CLASSES}
        columns = {name: shown.get(("Column", name), Presentation.WITHHELD) for name in self._columns}
        return View(classes, {n: how for n, how in columns.items() if how is not classes[self._columns[n]]})

    def _ask(self, role: Role, action: str, resources: list[tuple[str, str]], context: Mapping[str, Any]) -> list[bool]:
        requests = [
            {"principal": f'Role::"{role}"', "action": f'Action::"{action}"', "resource": f'{kind}::"{name}"',
             "context": context}
            for kind, name in resources
        ]  # fmt: skip
        answers = self._engine.is_authorized_batch(requests, self._policies, self._entities)
        # An error leaves a policy out of the answer; if that was a prohibition, the answer is too generous.
        if any(answer.diagnostics.errors for answer in answers):
            raise PolicyError("The policy could not be evaluated", "mend api/security/policy.cedar")
        return [answer.allowed for answer in answers]


def _wider(one: View, other: View, columns: Mapping[str, Classification]) -> View:
    """The more revealing of two views, column by column."""
    classes = {name: min(one.presentations[name], other.presentations[name], key=_rank) for name in CLASSES}
    shown = {name: min(one.of(name, cls), other.of(name, cls), key=_rank) for name, cls in columns.items()}
    return View(classes, {name: how for name, how in shown.items() if how is not classes[columns[name]]})


_rank = tuple(Presentation).index


def _needs(views: Mapping[tuple[bool, bool], View]) -> frozenset[str]:
    """Consents of which one is needed; PolicyError for a policy that cannot be put so."""
    if (False, False) in views:
        needed: frozenset[str] = frozenset()
    else:
        alone = {EMAIL_CONSENT: (True, False), SMS_CONSENT: (False, True)}
        needed = frozenset(name for name, case in alone.items() if case in views)
    meant = {
        (mail, sms)
        for mail, sms in _CONSENTS
        if not needed or (mail and EMAIL_CONSENT in needed) or (sms and SMS_CONSENT in needed)
    }
    if meant != set(views):
        raise PolicyError("The policy needs consents other than any one of some", "write it as any of email and sms")
    return needed


def _classes_of(columns: set[str]) -> dict[str, Classification]:
    contract = get_contract("gold.customer_360")
    if unknown := columns - set(contract.names):
        raise PolicyError(
            f"The policy names {', '.join(sorted(unknown))}, which gold.customer_360 lacks", "name its columns"
        )
    return {name: contract.column(name).classification for name in sorted(columns)}


def _entity(kind: str, name: str, parent: str) -> dict[str, object]:
    return {"uid": {"type": kind, "id": name}, "attrs": {}, "parents": [{"type": "Class", "id": parent}]}


def _packaged(name: str) -> str:
    return files("api.security").joinpath(name).read_text(encoding="utf-8")
