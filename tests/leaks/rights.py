"""Which direct identifiers a role may see: the policy in words, said once more and sharing no code with it."""

from __future__ import annotations

from dataclasses import dataclass, field

DIRECT = ("full_name", "first_name", "last_name", "email", "phone", "street")
MAY = {
    "support": frozenset(DIRECT),
    "analyst": frozenset[str](),
    "privacy": frozenset(DIRECT),
    "service": frozenset[str](),
    "service with pii:clear": frozenset(DIRECT),
    "marketing to whom e-mail is welcome": frozenset({"email", "first_name"}),
    "marketing to whom text messages are welcome": frozenset({"phone", "first_name"}),
}


@dataclass(frozen=True)
class Asker:
    """What a key was made for. ``regions`` None means all."""

    roles: frozenset[str] = frozenset()
    regions: frozenset[str] | None = frozenset()
    purposes: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()

    def stating(self, purpose: str | None) -> Asker:
        """As they are while a request states its purpose, which then counts alone, if it was granted."""
        if purpose is None:
            return self
        return Asker(self.roles, self.regions, self.purposes & {purpose}, self.scopes)


NOBODY = Asker()


@dataclass
class Person:
    """A customer as far as rights depend on them. What held in any release that is kept, counts."""

    email: bool = False
    sms: bool = False
    places: set[str] = field(default_factory=set)


def may_see(asker: Asker, column: str, person: Person) -> bool:
    """Whether any of the asker's roles may see that column of this person."""
    if asker.regions is not None and not asker.regions & person.places:
        return False
    cases = set(asker.roles & {"support", "analyst", "service"})
    if "privacy" in asker.roles & asker.purposes:
        cases.add("privacy")
    if "service" in asker.roles and "pii:clear" in asker.scopes:
        cases.add("service with pii:clear")
    if "marketing" in asker.roles & asker.purposes:
        cases |= {"marketing to whom e-mail is welcome"} if person.email else set()
        cases |= {"marketing to whom text messages are welcome"} if person.sms else set()
    return any(column in MAY[case] for case in cases)
