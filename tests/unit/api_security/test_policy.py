"""API1, API3 and API5:2023, authorisation of objects, properties and functions: the whole policy, cell by cell.

The tables are written out by hand. ``c m t .`` are clear, masked, tokenised and withheld, in the order of the
classifications none, direct and quasi; ``-`` is denied.
"""

from __future__ import annotations

import itertools
from typing import Any

import duckdb
import pytest

from api.security.decision import Decision
from api.security.errors import PolicyError
from api.security.policy import Action, Policy
from api.security.principal import Principal, Role, known_roles, regions_of
from c360.privacy.masking import Presentation

FORMS = {"c": Presentation.CLEAR, "m": Presentation.MASKED, "t": Presentation.TOKENISED, ".": Presentation.WITHHELD}

#                    support analyst marketing privacy service, the last with the scope of the action's name
TABLE = {
    "customer:read":   ("ccm", "c.m", "c.m", "ccc", "cmm"),
    "customer:lookup": ("ccm", "-",   "-",   "ccc", "cmm"),
    "customer:search": ("-",   "c.m", "c.m", "ccc", "cmm"),
    "customer:batch":  ("-",   "c.m", "c.m", "ccc", "cmm"),
    "customer:export": ("-",   "c.m", "-",   "ccc", "cmm"),
    "alert:read":      ("ccm", "c.m", "-",   "ccc", "cmm"),
    "product:read":    ("ccm", "c.m", "c.m", "ccc", "cmm"),
    "metric:read":     ("-",   "c.m", "c.m", "ccc", "cmm"),
    "table:read":      ("ccm", "c.m", "c.m", "ccc", "cmm"),
    "audit:read":      ("-",   "-",   "-",   "ccc", "cmm"),
}  # fmt: skip
ROLES = ("support", "analyst", "marketing", "privacy", "service")
OF_CUSTOMERS = {name for name in TABLE if name.startswith("customer:")} | {"alert:read"}

# Columns that differ from their classification: (role, action, e-mail consent, text-message consent) → columns.
CONSENTS = {
    (True, False): "email=c first_name=c",
    (False, True): "phone=c first_name=c",
    (True, True): "email=c phone=c first_name=c",
}
OVERRIDES = {("analyst", "customer:export"): "customer_id=t customer_sk=t"}


def who(*roles: str, regions: frozenset[str] | None = None, purposes: str = "", scopes: str = "") -> Principal:
    return Principal("x", "user", known_roles(roles), regions, frozenset(purposes.split()), frozenset(scopes.split()))


def full(role: str, action: str, regions: frozenset[str] | None = None) -> Principal:
    """Somebody of that role with every purpose it may need, and the scope of the action."""
    return who(role, regions=regions, purposes=role, scopes=action)


def customer(
    country: str | None = "DE", region: str | None = "Bayern", mail: bool | None = None, sms: bool | None = None
) -> dict[str, Any]:
    return {"country_code": country, "region": region, "consent_marketing_email": mail, "consent_marketing_sms": sms}


def columns(text: str) -> dict[str, Presentation]:
    return {name: FORMS[form] for name, _, form in (word.partition("=") for word in text.split())}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy()


def test_the_table_names_every_action_and_role() -> None:
    assert set(TABLE) == set(Action)
    assert set(ROLES) == set(Role)


@pytest.mark.parametrize(("action", "position"), list(itertools.product(TABLE, range(5))))
def test_api5_every_role_and_action_and_api3_every_classification(policy: Policy, action: str, position: int) -> None:
    role, cell = ROLES[position], TABLE[action][position]
    decision = policy.decide(full(role, action), action)
    assert decision.allowed is (cell != "-")
    if cell == "-":
        assert decision.reason == "not_permitted"
        assert decision.view_of(customer(mail=True, sms=True)) is None
        return
    expected = dict(zip(("none", "direct", "quasi"), (FORMS[form] for form in cell), strict=True))
    assert dict(decision.presentations) == expected
    for mail, sms in itertools.product((None, False, True), repeat=2):
        view = decision.view_of(customer(mail=mail, sms=sms))
        overrides = OVERRIDES.get((role, action), "")
        if role == "marketing":
            overrides = CONSENTS.get((mail is True, sms is True), "")
            if not overrides and action in OF_CUSTOMERS:
                assert view is None, "without consent as if not found"
                continue
        assert view is not None
        assert dict(view.presentations) == expected
        assert dict(view.column_overrides) == columns(overrides)


@pytest.mark.parametrize("action", TABLE)
def test_api5_purposes_and_scopes_are_needed(policy: Policy, action: str) -> None:
    assert policy.decide(who("privacy"), action).reason == "purpose_needed"
    assert policy.decide(who("privacy", purposes="marketing"), action).reason == "purpose_needed"
    assert policy.decide(who("service"), action).reason == "not_permitted"
    assert policy.decide(who("service", scopes="pii:clear"), action).reason == "not_permitted"
    wanted = "purpose_needed" if TABLE[action][2] != "-" and action in OF_CUSTOMERS else None
    found = policy.decide(who("marketing"), action)
    assert found.reason == (wanted or ("permitted" if TABLE[action][2] != "-" else "not_permitted"))
    clear = policy.decide(who("service", scopes=f"{action} pii:clear"), action)
    assert set(clear.presentations.values()) == {Presentation.CLEAR}


def test_api5_a_stated_purpose_counts_alone_and_must_be_granted(policy: Policy) -> None:
    both = who("marketing", "privacy", purposes="marketing privacy")
    assert policy.decide(both, "customer:read", "privacy").view_of(customer()) is not None
    assert policy.decide(both, "customer:read", "marketing").view_of(customer()) is None
    assert policy.decide(both, "audit:read", "marketing").reason == "purpose_needed"
    assert policy.decide(who("privacy", purposes="privacy"), "audit:read", "marketing").reason == "purpose_not_granted"


def test_api5_unknown_roles_and_actions_are_denied(policy: Policy) -> None:
    everything = " ".join(TABLE) + " pii:clear"
    for action in TABLE:
        nobody = who("boss", "admin", purposes="marketing privacy", scopes=everything)
        assert policy.decide(nobody, action).reason == "not_permitted"
    for action in ("customer:delete", "show:clear", "customers", "", 'x"', "CUSTOMER:READ"):
        denied = Decision(allowed=False, reason="unknown_action", action=action)
        assert policy.decide(full("privacy", "customer:read"), action) == denied


@pytest.mark.parametrize(("action", "role"), list(itertools.product(TABLE, ROLES)))
def test_api1_customers_of_other_regions_are_as_if_not_found(policy: Policy, action: str, role: str) -> None:
    decision = policy.decide(full(role, action, frozenset({"DE", "FR:Bretagne"})), action)
    if not decision.allowed:
        return
    places = list(itertools.product(("DE", "FR", "IT", None), ("Bayern", "Bretagne", "DE", "", None)))
    seen = {place for place in places if decision.view_of(customer(*place, mail=True)) is not None}
    if action in OF_CUSTOMERS:
        assert seen == {place for place in places if place[0] == "DE"} | {("FR", "Bretagne")}
        none = policy.decide(full(role, action, frozenset()), action)
        assert none.view_of(customer(mail=True)) is None
    else:
        assert decision.conditions.regions is None


def test_api3_a_second_role_widens_nothing_but_what_it_may_do_itself(policy: Policy) -> None:
    support_and_analyst = who("support", "analyst")
    read = policy.decide(support_and_analyst, "customer:read").always
    search = policy.decide(support_and_analyst, "customer:search").always
    assert (read.of("email", "direct"), search.of("email", "direct")) == (Presentation.CLEAR, Presentation.WITHHELD)
    with_consent = policy.decide(who("analyst", "marketing", purposes="marketing"), "customer:search")
    views = [with_consent.view_of(customer(mail=mail)) for mail in (False, True)]
    assert [view and view.of("email", "direct") for view in views] == [Presentation.WITHHELD, Presentation.CLEAR]
    assert with_consent.conditions.needs_consent == frozenset()
    export = policy.decide(who("analyst", "marketing", purposes="marketing"), "customer:export").always
    assert export.of("customer_id", "none") is Presentation.TOKENISED
    assert export.of("email", "direct") is Presentation.WITHHELD


def test_api3_what_holds_for_every_row_is_the_least_that_any_shows(policy: Policy) -> None:
    decision = policy.decide(full("marketing", "customer:read"), "customer:read")
    assert decision.by_consent
    shown = [decision.always.of(name, "direct") for name in ("email", "phone", "first_name", "last_name")]
    assert shown == [Presentation.WITHHELD, Presentation.WITHHELD, Presentation.CLEAR, Presentation.WITHHELD]
    ids = {view.id for view in decision.views.values()}
    assert len(ids) == 3
    assert not policy.decide(full("support", "customer:read"), "customer:read").by_consent


def test_api1_the_search_filter_admits_the_same_customers_as_the_rows(policy: Policy) -> None:
    places = itertools.product(("DE", "FR", None), ("Bayern", "Bretagne", "", None))
    rows = [
        customer(c, r, m, s)
        for (c, r), m, s in itertools.product(list(places), (None, False, True), (None, False, True))
    ]
    with duckdb.connect() as connection:
        connection.sql(
            "CREATE TABLE c (country_code VARCHAR, region VARCHAR, consent_marketing_email BOOLEAN,"
            " consent_marketing_sms BOOLEAN)"
        )
        connection.executemany("INSERT INTO c VALUES (?, ?, ?, ?)", [list(row.values()) for row in rows])
        for role, regions in itertools.product(
            ("analyst", "marketing", "privacy"),
            (None, frozenset[str](), frozenset({"DE"}), frozenset({"FR:Bretagne", "x' OR 1=1 --"})),
        ):
            decision = policy.decide(full(role, "customer:search", regions), "customer:search")
            condition, values = decision.conditions.where()
            found = connection.execute(f"SELECT * FROM c WHERE {condition}", values).fetchall()
            expected = [tuple(row.values()) for row in rows if decision.view_of(row) is not None]
            assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_credentials_name_regions_and_roles() -> None:
    assert regions_of(["DE", "*"]) is None
    assert regions_of([]) == frozenset()
    assert known_roles(["support", "root", ""]) == {Role.SUPPORT}


@pytest.mark.parametrize(
    "text",
    [
        "permit (principal, action, resource",
        'permit (principal == Role::"support", action == Action::"customer:raed", resource);',
        'permit (principal, action == Action::"show:clear", resource == Column::"shoe_size");',
        "permit (principal, action, resource) when { context.is_friday };",
    ],
)
def test_api8_a_policy_that_does_not_hold_together_is_refused_when_loaded(text: str) -> None:
    with pytest.raises(PolicyError):
        Policy(text)


def test_api8_an_empty_policy_permits_nothing() -> None:
    empty = Policy("")
    assert not any(empty.decide(full(role, action), action).allowed for role in ROLES for action in TABLE)
