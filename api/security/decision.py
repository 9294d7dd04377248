"""The answer of the policy: whether, on which customers, and how much of each of them is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from c360.privacy.masking import Presentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.contracts.model import Classification

EMAIL_CONSENT = "consent_marketing_email"
SMS_CONSENT = "consent_marketing_sms"
COUNTRY = "country_code"
REGION = "region"


@dataclass(frozen=True)
class View:
    """How a customer's columns are shown: ``column_overrides`` by column name win over the classification's.

    ``id`` names the view: equal ids show the same, so it can be the key of whatever is prepared per view.
    """

    presentations: Mapping[Classification, Presentation]
    column_overrides: Mapping[str, Presentation]
    id: str = field(init=False)

    def __post_init__(self) -> None:
        both = [f"{k}={v}" for part in (self.presentations, self.column_overrides) for k, v in sorted(part.items())]
        object.__setattr__(self, "id", ",".join(both))

    def __hash__(self) -> int:
        return hash(self.id)

    def of(self, column: str, classification: Classification) -> Presentation:
        """How a column of that classification is shown."""
        return self.column_overrides.get(column, self.presentations.get(classification, Presentation.WITHHELD))


@dataclass(frozen=True)
class Conditions:
    """Which customers are meant; all others are as if they were not there.

    ``regions`` are countries (``DE``) and parts of them (``DE:Bayern``), None for all. Of the columns in
    ``needs_consent`` at least one must be true; none are named where no consent is needed.
    """

    regions: frozenset[str] | None = None
    needs_consent: frozenset[str] = frozenset()

    def in_region(self, country: object, region: object) -> bool:
        """Whether a customer of that country and region lies within the regions; unknown lies within no limit."""
        regions = self.regions
        return regions is None or country in regions or (bool(region) and f"{country}:{region}" in regions)

    def where(self) -> tuple[str, list[str]]:
        """A condition in SQL on the columns of ``gold.customer_360``, true if there is none, and its parameters."""
        parts, values = [], []
        if self.regions is not None:
            values = sorted(self.regions)
            marks = ", ".join("?" * len(values))
            either = f"({COUNTRY} IN ({marks}) OR {COUNTRY} || ':' || nullif({REGION}, '') IN ({marks}))"
            parts.append(either if values else "false")
        if self.needs_consent:
            parts.append(f"({' OR '.join(f'{name} IS TRUE' for name in sorted(self.needs_consent))})")
        return " AND ".join(parts) or "true", values * 2


@dataclass(frozen=True)
class Decision:
    """Whether an action may be done, and with what.

    ``reason`` is a fixed code: ``permitted``, ``not_permitted``, ``unknown_action``, ``purpose_not_granted`` or
    ``purpose_needed``. ``views`` are by whether the customer consented to e-mail and to text messages.
    """

    allowed: bool
    reason: str
    action: str
    conditions: Conditions = Conditions()
    views: Mapping[tuple[bool, bool], View] = field(default_factory=dict)
    _floor: View = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_floor", _least(tuple(self.views.values())))

    @property
    def presentations(self) -> Mapping[Classification, Presentation]:
        """What is shown, by classification, of every customer meant; some may show more: see :meth:`view_of`."""
        return self._floor.presentations

    @property
    def column_overrides(self) -> Mapping[str, Presentation]:
        """Columns that differ from ``presentations`` with every customer meant."""
        return self._floor.column_overrides

    @property
    def always(self) -> View:
        """What holds for every customer meant, whatever they consented to; also for rows that are no customer's."""
        return self._floor

    @property
    def by_consent(self) -> bool:
        """Whether the view depends on the customer's consents."""
        return len({view.id for view in self.views.values()}) > 1

    def view_of(self, customer: Mapping[str, object]) -> View | None:
        """How this row of ``gold.customer_360`` is shown; None if the customer is to be as if not found."""
        if not self.allowed or not self.conditions.in_region(customer.get(COUNTRY), customer.get(REGION)):
            return None
        return self.views.get((customer.get(EMAIL_CONSENT) is True, customer.get(SMS_CONSENT) is True))


_ORDER = tuple(Presentation)


def _least(views: tuple[View, ...]) -> View:
    """The least revealing of the views, column by column."""
    if not views:
        return View({}, {})
    classes = {name for view in views for name in view.presentations}
    shown = {name: max((v.presentations[name] for v in views), key=_ORDER.index) for name in classes}
    columns = {name for view in views for name in view.column_overrides}
    kept = {n: v for n in columns if (v := _common(n, views)) is not None}
    return View(shown, kept)


def _common(column: str, views: tuple[View, ...]) -> Presentation | None:
    found = {view.column_overrides.get(column) for view in views}
    return found.pop() if len(found) == 1 else Presentation.WITHHELD
