"""A streaming job as its folder describes it: ``streaming_jobs/jobs/<job>/job.yaml`` beside its SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from c360.contracts.loader import load_stream_contracts
from c360.contracts.standard import read_yaml
from c360.contracts.topic import load_topics
from c360.engines.flink_home import project
from c360.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from c360.contracts.model import Contract
    from c360.contracts.topic import TopicContract

FILE, MEASURE = "job.yaml", "measure.sql"
LATE, REFUSED, METRICS = "silver.late_events", "silver.dead_letters", "gold.event_metrics"
"""Tables that the jobs of a family share."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    description: str
    wanted: Literal["running", "stopped"] = "running"
    parallelism: Annotated[int, Field(ge=1, le=128)] = 1
    checkpoint_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0


class _Events(_Document):
    family: Literal["raw_topic"]
    topic: str
    silver: str
    window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300


class _Changes(_Document):
    """Topics to tables; ``state_ttl_hours`` 0 keeps all state, as whatever was forgotten would be counted again."""

    family: Literal["changes", "features"]
    source: Literal["shop", "events", "segments"] = "shop"
    inputs: Annotated[tuple[str, ...], Field(min_length=1)]
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    state_ttl_hours: Annotated[float, Field(ge=0)] = 0.0
    functions: dict[str, str] = {}
    model: Literal["", "churn"] = ""


_DOCUMENT: TypeAdapter[_Events | _Changes] = TypeAdapter(Annotated[_Events | _Changes, Field(discriminator="family")])


@dataclass(frozen=True)
class StreamJob:
    """One streaming job.

    ``inputs`` are Kafka topics and ``outputs`` Iceberg tables by contract. ``state_ttl_hours`` is how long an event id
    is remembered, 0 for ever; ``window_seconds`` the length of the windows of ``gold.event_metrics``. ``topic``,
    ``bronze``, ``silver`` and ``measure`` are those of a stream of events (``events`` is True) only. ``source`` says
    how the inputs of a job of features are read, ``functions`` which functions of its own it has (SQL name → class),
    ``model`` which model it applies: it cannot be started before there is one.
    """

    name: str
    description: str
    folder: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parallelism: int = 1
    checkpoint_seconds: float = 10.0
    state_ttl_hours: float = 24.0
    wanted: Literal["running", "stopped"] = "running"
    family: str = "raw_topic"
    window_seconds: int = 300
    source: str = ""
    functions: Mapping[str, str] = field(default_factory=dict)
    model: str = ""

    @property
    def events(self) -> bool:
        """Whether it reads one topic of events, with a contract of its own, into bronze, silver and metrics."""
        return self.family == "raw_topic"

    @property
    def measure(self) -> str:
        """SQL for Flink and DuckDB: event_time, event_type, measure and measured of ``events``.

        Raises:
            StreamError: there is no such file.
        """
        path = self.folder / MEASURE
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise StreamError(f"{path} cannot be read ({error.strerror})", "say there what is measured") from error
        return "\n".join(line for line in lines if not line.startswith("--")).strip()

    @property
    def topic(self) -> TopicContract:
        """The contract of the topic that is read."""
        return load_topics()[self.inputs[0]]

    @property
    def bronze(self) -> Contract:
        """The contract of the table of messages."""
        return load_stream_contracts()[self.outputs[0]]

    @property
    def silver(self) -> Contract:
        """The contract of the table of events."""
        return load_stream_contracts()[self.outputs[1]]


def load_jobs(root: Path | None = None) -> Mapping[str, StreamJob]:
    """The jobs of a folder of job folders by name; without ``root`` the product's own.

    Raises:
        StreamError: a ``job.yaml`` is missing, wrong, or names a topic or table that has no contract.
    """
    folder = root or project() / "jobs"
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return MappingProxyType({job.name: job for job in map(_load, folders)})


def event_jobs() -> Mapping[str, StreamJob]:
    """The product's jobs that read a topic of events."""
    return MappingProxyType({name: job for name, job in load_jobs().items() if job.events})


def get_job(name: str, root: Path | None = None) -> StreamJob:
    """The job of that name; StreamError if there is none."""
    jobs = load_jobs(root)
    if name not in jobs:
        raise StreamError(f"There is no streaming job {name}", f"use one of {', '.join(jobs) or 'none'}")
    return jobs[name]


def _load(folder: Path) -> StreamJob:
    path = folder / FILE
    if not path.is_file():
        raise StreamError(f"{folder} holds no {FILE}", f"describe the job in {FILE}, or remove the folder")
    try:
        document = _DOCUMENT.validate_python(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise StreamError(f"{path}: {place}: {first['msg']}", "correct that line") from None
    if document.name != folder.name:
        raise StreamError(f"{path} names the job '{document.name}'", f"name it {folder.name}, as its folder")
    return _of_events(document, folder, path) if isinstance(document, _Events) else _of_changes(document, folder, path)


def _of_changes(document: _Changes, folder: Path, path: Path) -> StreamJob:
    tables = load_stream_contracts()
    for table in document.outputs:
        if table not in tables:
            raise StreamError(f"{path}: table {table} has no contract", "describe it in c360/contracts/streams")
    return StreamJob(
        name=document.name,
        description=document.description,
        folder=folder,
        inputs=document.inputs,
        outputs=document.outputs,
        parallelism=document.parallelism,
        checkpoint_seconds=document.checkpoint_seconds,
        state_ttl_hours=document.state_ttl_hours,
        wanted=document.wanted,
        family=document.family,
        source=document.source,
        functions=document.functions,
        model=document.model,
    )


def _of_events(document: _Events, folder: Path, path: Path) -> StreamJob:
    tables = load_stream_contracts()
    topic = load_topics().get(document.topic)
    if topic is None or topic.format != "json":
        raise StreamError(f"{path}: topic {document.topic} has no contract of events", "name a topic with events")
    bronze = f"bronze.{document.topic.replace('-', '_')}"
    for table in (bronze, document.silver):
        if table not in tables:
            raise StreamError(f"{path}: table {table} has no contract", "describe it in c360/contracts/streams")
    if tables[document.silver].topic != document.topic:
        raise StreamError(f"{path}: {document.silver} holds no events of {document.topic}", "name the one that does")
    return StreamJob(
        name=document.name,
        description=document.description,
        folder=folder,
        inputs=(document.topic,),
        outputs=(bronze, document.silver, LATE, REFUSED, METRICS),
        parallelism=document.parallelism,
        checkpoint_seconds=document.checkpoint_seconds,
        state_ttl_hours=float(topic.dedup_horizon_hours),
        wanted=document.wanted,
        family=document.family,
        window_seconds=document.window_seconds,
    )
