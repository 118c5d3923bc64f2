"""Traces for operators, sent over OTLP; without an endpoint, spans are OpenTelemetry's no-op spans.

FastAPI makes a request's span. It is the parent of the spans of its job and of its webhooks: the job's row
carries ``traceparent`` (W3C Trace Context) from one process to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.trace import (
    NoOpTracerProvider,
    Span,
    SpanKind,
    StatusCode,
    TracerProvider,
    format_trace_id,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spleeter_microservice.errors import ConfigurationError

_NAME = "spleeter_microservice"
_EXPORT_SECONDS = 5.0  # for a batch; also how long an absent collector delays the end of a process
_PROPAGATOR = TraceContextTextMapPropagator()
_provider: TracerProvider = NoOpTracerProvider()


def configure_tracing(endpoint: str | None, part: str, version: str) -> None:
    """Send this process's spans to a collector; do nothing without an endpoint.

    Args:
        endpoint: base address of an OTLP collector, over HTTP: ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        part: role of the process, ``api`` or ``worker``.
        version: version of the program.

    Raises:
        ConfigurationError: if the packages that export spans are not installed.
    """
    if endpoint is None or is_tracing():
        return
    try:
        _start(f"{endpoint.rstrip('/')}/v1/traces", part, version)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed. Install it: "
            "pip install 'spleeter-microservice[tracing]'"
        ) from error


def _start(endpoint: str, part: str, version: str) -> None:
    """Import the exporter only here: it is an optional dependency, and slow to import."""
    global _provider  # noqa: PLW0603  (one per process, as logs and metrics are)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.name": f"spleeter-{part}", "service.version": version}
    provider = TracerProvider(resource=Resource.create(about))
    exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _provider = provider


def tracer_provider() -> TracerProvider:
    """Return the provider of this process's spans."""
    return _provider


def is_tracing() -> bool:
    """Return whether this process exports spans."""
    return not isinstance(_provider, NoOpTracerProvider)


@contextmanager
def span(
    name: str, kind: SpanKind, attributes: Mapping[str, str | float | None], parent: str | None = None
) -> Iterator[Span]:
    """Open a span for the duration of the context.

    An exception that leaves the context marks the span as failed; only its class is recorded, because its
    message may hold secrets.

    Args:
        name: name shared by all spans of this sort; what varies goes into attributes.
        kind: role of the span: server, client or consumer.
        attributes: facts about the span; those that are None are left out.
        parent: ``traceparent`` of the span that caused this one (default: the span that is open here).
    """
    opened = _provider.get_tracer(_NAME).start_as_current_span(
        name,
        _PROPAGATOR.extract({"traceparent": parent}) if parent else None,
        kind,
        {key: value for key, value in attributes.items() if value is not None},
        record_exception=False,
        set_status_on_exception=False,
    )
    with opened as current:
        try:
            yield current
        except Exception as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def traceparent() -> str | None:
    """Return the open span's name for other processes; None without traces."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def name_request(request_id: str) -> dict[str, str]:
    """Add a request's id to the open span, and return the log fields that identify both."""
    current = get_current_span()
    current.set_attribute("spleeter.request_id", request_id)
    context = current.get_span_context()
    trace = {"trace_id": format_trace_id(context.trace_id)} if context.is_valid else {}
    return {"request_id": request_id} | trace
