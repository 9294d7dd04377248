"""The part of Kafka Connect's REST API that one connector needs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.settings import Settings

PATIENCE = 30.0
"""Seconds for which a worker may be busy with its group."""


@dataclass(frozen=True)
class ConnectorState:
    """What Connect says: states as it writes them (``RUNNING``, ``FAILED``, …), ``why`` the last line of a failure."""

    connector: str
    tasks: tuple[str, ...] = ()
    why: str = ""

    @property
    def running(self) -> bool:
        """Whether the connector runs with all of its tasks."""
        return self.connector == "RUNNING" and bool(self.tasks) and set(self.tasks) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        """Whether something of it failed, and will not start again by itself."""
        return "FAILED" in {self.connector, *self.tasks}


class ConnectClient:
    """One connector of a worker. Each method raises EngineError if the worker cannot be asked, or refuses."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._address = settings.connect_address
        self._name = name

    def register(self, config: Mapping[str, str]) -> None:
        """Create the connector, or give it this configuration; the same again changes nothing."""
        present = self._ask("GET", "/config", missing=None)
        if present is None or {k: v for k, v in present.items() if k != "name"} != dict(config):
            self._ask("PUT", "/config", json=dict(config))

    def state(self) -> ConnectorState | None:
        """Its state; None if there is no such connector."""
        told = self._ask("GET", "/status", missing=None)
        if told is None:
            return None
        parts = [told["connector"], *told["tasks"]]
        traces = [part["trace"] for part in parts if part.get("trace")]
        return ConnectorState(
            told["connector"]["state"], tuple(task["state"] for task in told["tasks"]), _cause(traces)
        )

    def offset(self) -> dict[str, Any] | None:
        """The position that it goes on from, as Debezium writes it; None before the first."""
        told = self._ask("GET", "/offsets", missing={"offsets": []})
        return next((entry["offset"] for entry in told["offsets"]), None)

    def restart(self) -> None:
        """Start again what failed, connector and tasks."""
        self._ask("POST", "/restart?includeTasks=true&onlyFailed=true")

    def stop(self) -> None:
        """End its tasks, and wait until they have ended."""
        self._ask("PUT", "/stop")
        deadline = time.monotonic() + PATIENCE
        while (state := self.state()) is not None and (state.connector != "STOPPED" or state.tasks):
            if time.monotonic() > deadline:
                raise EngineError(f"The connector {self._name} does not stop", "see logs/connect.log")
            time.sleep(0.2)

    def resume(self) -> None:
        """Let it run again after ``stop``."""
        self._ask("PUT", "/resume")

    def forget(self) -> None:
        """Drop its position; it must be stopped."""
        self._ask("DELETE", "/offsets")

    def _ask(self, method: str, path: str, *, json: object = None, missing: Any = ...) -> Any:
        url = f"{self._address}/connectors/{self._name}{path}"
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = httpx.request(method, url, json=json, timeout=PATIENCE, trust_env=False)
            except httpx.HTTPError as error:
                raise EngineError(
                    f"Kafka Connect does not answer at {self._address} ({type(error).__name__})",
                    "start it with `c360 up cdc`, or correct C360_CONNECT_URL",
                ) from error
            if answer.status_code == httpx.codes.CONFLICT and time.monotonic() < deadline:
                time.sleep(0.3)  # its group is being settled
            elif answer.status_code == httpx.codes.NOT_FOUND and missing is not ...:
                return missing
            elif answer.is_success:
                return answer.json() if answer.content else None
            else:
                raise EngineError(f"Kafka Connect refuses {method} {url}: {_message(answer)}", "see logs/connect.log")


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code)


def _cause(traces: list[str]) -> str:
    """The innermost cause of the first failure."""
    lines = [line for trace in traces for line in trace.splitlines()]
    causes = [line for line in lines if line.startswith("Caused by: ")] or lines[:1]
    return causes[-1].removeprefix("Caused by: ")[:300] if causes else ""
