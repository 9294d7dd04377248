"""Who is asking: what a verified token or API key says about its bearer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL_REGIONS = "*"


class Role(StrEnum):
    """What somebody does in the company; what each may do is in ``policy.cedar``."""

    SUPPORT = "support"
    ANALYST = "analyst"
    MARKETING = "marketing"
    PRIVACY = "privacy"
    SERVICE = "service"


@dataclass(frozen=True)
class Principal:
    """A person or a program whose credential was verified.

    ``regions`` are the countries (``DE``) and parts of countries (``DE:Bayern``) whose customers they may see, None for
    all of them; ``purposes`` are those they may act for; ``scopes`` are what a service may do. ``key_id`` names the API
    key or the token's signing key. ``subject`` identifies them in the audit log and for their rate limit.
    """

    subject: str
    kind: Literal["user", "service"]
    roles: frozenset[Role]
    regions: frozenset[str] | None = frozenset()
    purposes: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    key_id: str = ""


def known_roles(names: Iterable[str]) -> frozenset[Role]:
    """The roles of these names; a name that is no role grants nothing and is left out."""
    wanted = frozenset(names)
    return frozenset(role for role in Role if role in wanted)


def regions_of(names: Iterable[str]) -> frozenset[str] | None:
    """Regions as a credential lists them: None if ``*`` is among them."""
    found = frozenset(names)
    return None if ALL_REGIONS in found else found
