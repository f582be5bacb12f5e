"""OpenTelemetry traces: nothing is imported, measured or sent unless OTEL_EXPORTER_OTLP_ENDPOINT is set.

A session has one trace, from the click on Start on. Redis keeps its context, so that any process can add to it: the
web process that gets the report of the first frame, the worker that ends and books the session. So the trace does not
depend on what a browser sends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Token
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from heygen_portal.redis import marks

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=1)
HEADER = "portal_trace"
"""Header of a job's message: the trace that it continues."""

_provider: Any = None
_tracer: Any = None


def start(role: str) -> None:
    """Send spans from now on, if that is configured. Idempotent; call it again after a fork."""
    global _provider, _tracer
    if _tracer is not None or not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    names = {"service.namespace": settings.OTEL_SERVICE_NAME, "service.name": f"{settings.OTEL_SERVICE_NAME}-{role}"}
    _provider = TracerProvider(resource=Resource.create(names))
    address = f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces"
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    _tracer = _provider.get_tracer("heygen_portal")


def stop() -> None:
    """Send what is left."""
    global _provider, _tracer
    if _provider is not None:
        _provider.shutdown()
        _provider = _tracer = None


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[None]:
    """Measure a block as a part of the current trace, or as a new one."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, attributes=attributes, record_exception=False) as current:
        try:
            yield
        except Exception as exc:
            current.set_attribute("error.type", type(exc).__name__)  # a message might quote what somebody said
            raise


def is_on() -> bool:
    return _tracer is not None


def trace_id() -> str:
    """Return the ID of the current trace as 32 hexadecimal digits, or an empty string."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else ""


def carrier() -> str:
    """Return the current span as a W3C `traceparent`, or an empty string."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    values: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(values)
    return values.get("traceparent", "")


@contextmanager
def continued(traceparent: str) -> Iterator[None]:
    """Continue a trace in this block."""
    token = attach(traceparent)
    try:
        yield
    finally:
        if token is not None:
            from opentelemetry import context

            context.detach(token)


def attach(traceparent: str) -> Token[Any] | None:
    """Continue a trace in the current context from now on."""
    if _tracer is None or not traceparent:
        return None
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    token: Token[Any] = context.attach(TraceContextTextMapPropagator().extract({"traceparent": traceparent}))
    return token


# Sessions


def remember(session_id: object) -> None:
    """Make the current trace the session's."""
    if traceparent := carrier():
        try:
            marks.client().set(_key(session_id), traceparent, ex=KEPT_FOR)
        except RedisError as exc:
            logger.warning("Redis did not store a session's trace: %s", type(exc).__name__)


def session_event(session_id: object, name: str, since: object, **attributes: Any) -> None:
    """Add to the session's trace what began at `since` and has just ended. The row may be damaged."""
    if _tracer is None:
        return
    with continued(_of_session(session_id)):
        values = {"portal.session": str(session_id), **attributes}
        began_ns = int(since.timestamp() * 1e9) if isinstance(since, datetime) else time.time_ns()
        _tracer.start_span(name, start_time=began_ns, attributes=values).end(time.time_ns())


def _of_session(session_id: object) -> str:
    try:
        stored: Any = marks.client().get(_key(session_id))
    except RedisError:
        return ""
    return stored.decode() if stored else ""


def _key(session_id: object) -> str:
    return f"portal-trace:{session_id}"
