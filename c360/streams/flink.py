"""Flink's REST API as far as running jobs need it: their state, checkpoints, restarts, lag, and ways to end them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import httpx

from c360.errors import EngineError, StreamError

if TYPE_CHECKING:
    from types import TracebackType

    from c360.settings import Settings

ENDED = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})
ENDING = frozenset({"FAILING", "CANCELLING"})
TIMEOUT = 5.0
POLL = 0.2
NO_WATERMARK = -(2**62)  # Flink says Long.MIN_VALUE, and its figures pass through floating point
WATERMARK = "currentOutputWatermark"
PENDING = "pendingRecords"
UNSETTLED = "Not all required tasks are currently running"


@dataclass(frozen=True)
class FlinkJob:
    """A job that Flink knows. ``state`` is Flink's word (``RUNNING``, ``RESTARTING``, ``FAILED``, …).

    ``settled``: all its tasks run; a job is ``RUNNING`` before that, and takes no checkpoint yet.
    """

    id: str
    name: str
    state: str
    started_at: datetime
    settled: bool = True

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state not in ENDED


@dataclass(frozen=True)
class Checkpoint:
    """A completed checkpoint and the address of its files, how long it took, and how much all state in it is."""

    id: int
    completed_at: datetime
    path: str
    seconds: float
    state_bytes: int

    def age(self, now: datetime) -> float:
        """Seconds since it was complete."""
        return max(0.0, (now - self.completed_at).total_seconds())


@dataclass(frozen=True)
class Lag:
    """How far a job is behind its topics: ``pending`` records, None where Flink does not say (yet).

    ``watermark`` is the lowest event time of its sources, None before the first event or where SQL declares none.
    """

    pending: int | None
    watermark: datetime | None


class FlinkClient:
    """Asks the Flink of the settings. Every request ends within ``timeout`` seconds.

    All methods raise EngineError when Flink does not answer, and StreamError for a job that it does not know.
    """

    def __init__(self, settings: Settings, timeout: float = TIMEOUT) -> None:
        self._http = httpx.Client(base_url=settings.flink_address, timeout=timeout, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def unready(self) -> str | None:
        """Why no job can be run now; None when a slot to run tasks in is registered."""
        try:
            slots = self._call("GET", "/overview").get("slots-total", 0)
        except EngineError as error:
            return error.problem
        return None if slots > 0 else "no TaskManager has registered a slot"

    def jobs(self, name: str | None = None) -> list[FlinkJob]:
        """Jobs of that name, or all, newest first; ended ones as long as Flink remembers them."""
        listed = self._call("GET", "/jobs/overview")["jobs"]
        found = [
            FlinkJob(j["jid"], j["name"], j["state"], _moment(j["start-time"]), _settled(j.get("tasks", {})))
            for j in listed
        ]
        return sorted((j for j in found if name in {None, j.name}), key=lambda j: j.started_at, reverse=True)

    def restarts(self, job_id: str) -> int | None:
        """How often the job was restarted by Flink itself since it was submitted; None while Flink does not say."""
        told = self._call("GET", f"/jobs/{job_id}/metrics", params={"get": "numRestarts"})
        return int(float(told[0]["value"])) if told else None

    def checkpoint(self, job_id: str) -> Checkpoint | None:
        """The last completed checkpoint of this submission; None before the first."""
        last = self._call("GET", f"/jobs/{job_id}/checkpoints")["latest"].get("completed")
        if last is None:
            return None
        taken, size = last["end_to_end_duration"] / 1000, last["state_size"]
        return Checkpoint(last["id"], _moment(last["latest_ack_timestamp"]), last["external_path"], taken, size)

    def unaligned(self) -> bool:
        """Whether jobs take unaligned checkpoints unless they say otherwise."""
        keys = ("execution.checkpointing.unaligned.enabled", "execution.checkpointing.unaligned")
        conf = {each["key"]: each["value"] for each in self._call("GET", "/jobmanager/config")}
        return any(str(conf.get(key, "false")).lower() == "true" for key in keys)

    def lag(self, job_id: str) -> Lag:
        """Pending records and the lowest watermark over all sources of the job."""
        pending: list[float] = []
        watermarks: list[float] = []
        for vertex in self._call("GET", f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            names = [m["id"] for m in self._call("GET", path) if _of_source(m["id"])]
            for metric in self._call("GET", path, params={"get": ",".join(names)}) if names else []:
                if metric["id"].endswith(PENDING):
                    pending.append(metric["sum"])
                elif metric["min"] > NO_WATERMARK:
                    watermarks.append(metric["min"])
                else:
                    watermarks.append(NO_WATERMARK)
        lowest = min(watermarks, default=NO_WATERMARK)
        return Lag(int(sum(pending)) if pending else None, _moment(lowest) if NO_WATERMARK < lowest < 2**52 else None)

    def root_cause(self, job_id: str) -> str | None:
        """What made the job fail last, as its innermost cause says it; None if nothing did."""
        entries = self._call("GET", f"/jobs/{job_id}/exceptions").get("exceptionHistory", {}).get("entries", [])
        return _innermost(entries[0].get("stacktrace") or entries[0].get("exceptionName", "")) if entries else None

    def stop_with_savepoint(self, job_id: str, timeout: float = 60.0) -> str:
        """Take a savepoint and end the job; returns the savepoint's address.

        Raises:
            StreamError: Flink refuses, or has not finished within ``timeout`` seconds (it may still).
        """
        asked = self._call("POST", f"/jobs/{job_id}/stop", json={"drain": False})["request-id"]
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer = self._call("GET", f"/jobs/{job_id}/savepoints/{asked}")
            operation = answer.get("operation") or {}
            if "location" in operation:
                return str(operation["location"])
            if "failure-cause" in operation:
                reason = _innermost(operation["failure-cause"].get("stack-trace", ""))
                if UNSETTLED in reason:  # it has only just been started, or is being restarted
                    time.sleep(POLL)
                    asked = self._call("POST", f"/jobs/{job_id}/stop", json={"drain": False})["request-id"]
                    continue
                raise StreamError(
                    f"Flink took no savepoint of job {job_id} ({reason})", "mend that, then stop it again"
                )
            time.sleep(POLL)
        raise StreamError(
            f"Flink has not finished the savepoint of job {job_id} within {timeout:.0f} s",
            "stop it again, or cancel it: it resumes from its last checkpoint",
        )

    def cancel(self, job_id: str, timeout: float = 30.0) -> None:
        """End the job without a savepoint and wait until it has ended; its retained checkpoints stay."""
        self._call("PATCH", f"/jobs/{job_id}", params={"mode": "cancel"})
        deadline = time.monotonic() + timeout
        while any(job.id == job_id and job.active for job in self.jobs()):
            if time.monotonic() > deadline:
                raise StreamError(f"Job {job_id} has not ended within {timeout:.0f} s", "see it in Flink's web UI")
            time.sleep(POLL)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._http.request(method, path, **arguments)
            document = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise EngineError(
                f"Flink at {self._http.base_url} does not answer ({type(error).__name__})",
                "start it with `c360 up flink`, or correct C360_FLINK_URL",
            ) from error
        if response.is_error:
            said = _innermost("\n".join(map(str, document.get("errors", [])))) if isinstance(document, dict) else ""
            raise StreamError(f"Flink refuses {path}: {said or response.status_code}", "see the job in Flink's web UI")
        return document


def _settled(tasks: dict[str, int]) -> bool:
    return tasks.get("running", 0) + tasks.get("finished", 0) >= tasks.get("total", 0) > 0


def _of_source(metric: str) -> bool:
    return metric.startswith("Source__") and metric.endswith((f".{PENDING}", f".{WATERMARK}"))


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _innermost(trace: str) -> str:
    causes = [line.strip() for line in trace.splitlines() if line.startswith("Caused by:")]
    first = next((line.strip() for line in trace.splitlines() if line.strip()), "no reason given")
    return (causes[-1].removeprefix("Caused by:").strip() if causes else first)[:500]
