"""OpenTelemetry traces: whether there are any, and where they go, is told by the standard variables.

``OTEL_TRACES_EXPORTER`` (``otlp``, ``console``, ``none`` or several with commas) decides; without it an
``OTEL_EXPORTER_OTLP_ENDPOINT`` does. Sampler, service name, limits, batches, headers and certificates are read by the
SDK itself. No provider is made known to the whole process: libraries that look for one, FastAPI first, would put paths
and query strings into spans of their own.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from c360.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Tracer

LOG = logging.getLogger("c360.api")
SERVICE = "c360-api"
KNOWN = ("otlp", "console", "none")
CLOSING_S = 5.0
"""How long the last spans may take to leave when the service stops."""
_QUIET = ("opentelemetry.sdk._shared_internal", "opentelemetry.exporter.otlp")
"""Loggers with a line for each failed attempt and for each span lost, for which :class:`Told` has one line."""


class Told:
    """An exporter of whose failures the first is logged, and then the first success; never one of each batch."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter, self._failing = exporter, False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; never raises."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever it is, traces are lost and requests go on
            result = SpanExportResult.FAILURE
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            LOG.warning("traces cannot be delivered; they are lost until their collector answers")
        elif self._failing and not failing:
            LOG.info("traces are delivered again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        """Give up what is not sent yet, also from another thread."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See the SDK."""
        return self._exporter.force_flush(timeout_millis)


class Tracing:
    """Makes the spans of one app. Exporters get them in batches and in the background, or each within its request."""

    def __init__(self, batched: Sequence[SpanExporter] = (), at_once: Sequence[SpanExporter] = ()) -> None:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._provider = _provider()
        self._batched = [Told(exporter) for exporter in batched]
        for told in self._batched:
            self._provider.add_span_processor(BatchSpanProcessor(told))  # type: ignore[arg-type]
        for exporter in at_once:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self.tracer: Tracer = self._provider.get_tracer("c360.api")

    def close(self) -> None:
        """Send what is left, for at most :data:`CLOSING_S` seconds."""
        giving_up = threading.Timer(CLOSING_S, self._give_up)
        giving_up.daemon = True
        giving_up.start()
        try:
            self._provider.shutdown()
        finally:
            giving_up.cancel()

    def _give_up(self) -> None:
        for told in self._batched:
            told.shutdown()


def tracing_of() -> Tracing | None:
    """What the environment asks for; None if it asks for no traces.

    Raises SettingsError for an exporter or a protocol that there is not.
    """
    wanted = _wanted(os.environ)
    if not wanted:
        return None
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if "otlp" in wanted and protocol not in (None, "", "http/protobuf"):
        raise SettingsError(f"Traces cannot be sent by {protocol}", "set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf")
    for name in _QUIET:
        # No handler of its own and none above: what it says is said once, by us.
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
    return Tracing([_MAKERS[name]() for name in wanted])


def _wanted(environ: Mapping[str, str]) -> list[str]:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    text = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not text:
        endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        return ["otlp"] if any(environ.get(name) for name in endpoints) else []
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    if unknown := [name for name in names if name not in KNOWN]:
        raise SettingsError(
            f"OTEL_TRACES_EXPORTER names {', '.join(unknown)}, which there is not", f"choose from {', '.join(KNOWN)}"
        )
    return [] if "none" in names else names


def _provider() -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: SERVICE}))
    return TracerProvider(resource=found, shutdown_on_exit=False)


def _otlp() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _console() -> SpanExporter:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter()


_MAKERS: dict[str, Callable[[], SpanExporter]] = {"otlp": _otlp, "console": _console}
