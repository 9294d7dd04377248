"""Alerts: what is wrong now and what is well again, told once, to the sinks that the settings name."""

from __future__ import annotations

from c360_assets.alerts.look import SOURCES, Look, look
from c360_assets.alerts.model import Alert, Cleared, Notice, Observation
from c360_assets.alerts.sinks import sinks_of
from c360_assets.alerts.sources import Links, Source, View

__all__ = [
    "SOURCES",
    "Alert",
    "Cleared",
    "Links",
    "Look",
    "Notice",
    "Observation",
    "Source",
    "View",
    "look",
    "sinks_of",
]
