"""A seeded, consistent, lifelike company: its systems' daily exports, with known defects and a ledger of them."""

from __future__ import annotations

from mock_data.company import Generated, generate
from mock_data.defects import RATES

__all__ = ["RATES", "Generated", "generate"]
