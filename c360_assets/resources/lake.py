"""The lakehouse as a Dagster resource: opened where a step runs, from the settings of that process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from c360.settings import Settings

if TYPE_CHECKING:
    from c360.lakehouse import Lakehouse


class LakehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Gives each step a :class:`Lakehouse`. ``home`` overrides ``C360_HOME``, for tests and side-by-side lakes."""

    home: str | None = None

    def settings(self) -> Settings:
        """The settings of this process, with ``home`` applied."""
        return Settings() if self.home is None else Settings(home=self.home)  # type: ignore[arg-type]

    def open(self) -> Lakehouse:
        """Open the catalog. Raises LakehouseError naming the mend if it cannot be reached."""
        from c360.lakehouse import Lakehouse

        return Lakehouse(self.settings())
