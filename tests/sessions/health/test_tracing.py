"""One trace from the click to the first frame, through web, provider and worker."""

from __future__ import annotations

import subprocess
import sys

import pytest
from celery import Celery
from django.conf import settings

from heygen_portal.runtime import tracing
from heygen_portal.runtime.jobs.scheduler import PortalTask
from tests.sessions.health.conftest import SPOKEN, Observed
from tests.support import trace_receiver


def test_a_session_is_one_trace_of_all_processes(observed: Observed) -> None:
    spans = observed.receiver.wait_for(lambda found: "book" in {span.name for span in found})
    start = next(span for span in spans if span.name == "session.start")
    assert start.parent == ""  # the trace begins with the click
    of_trace = [span for span in spans if span.trace == start.trace]
    found = {(span.service, span.name) for span in of_trace}
    assert {
        ("heygen-portal-web", "session.start"),
        ("heygen-portal-web", "POST /v1/streaming.new"),
        ("heygen-portal-web", "POST /v1/streaming.start"),
        ("heygen-portal-web", "first frame"),
        ("heygen-portal-web", "stop"),
        ("heygen-portal-worker", "book"),
    } <= found
    frame = next(span for span in of_trace if span.name == "first frame")
    assert frame.attributes["portal.session"] == observed.conversation.session_id
    assert frame.nanoseconds > 0


def test_spans_have_no_speech(observed: Observed) -> None:
    values = [value for span in observed.receiver.spans for value in (span.name, *span.attributes.values())]
    assert values
    assert not [value for value in values if "xylophone" in value or SPOKEN in value]


def test_a_job_continues_the_trace_of_the_request_that_sent_it(monkeypatch: pytest.MonkeyPatch) -> None:

    class Job(PortalTask):
        name = "job"

        def run(self) -> str:
            return tracing.trace_id()

    with trace_receiver.run() as receiver:
        monkeypatch.setattr(settings, "OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        tracing.start("test")
        try:
            with tracing.span("request"):
                trace, traceparent = tracing.trace_id(), tracing.carrier()
            job = Celery(set_as_current=False).register_task(Job())
            job.push_request(**{tracing.HEADER: traceparent})
            assert job() == trace
        finally:
            tracing.stop()
    assert {span.trace for span in receiver.spans} == {trace}
    assert {span.name for span in receiver.spans} == {"request", "job"}


def test_without_the_setting_no_trace_is_made() -> None:
    """Not even imported. Other parts of OpenTelemetry are imported by the Redis client."""
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'heygen_portal.settings';"
        " import heygen_portal.asgi; from heygen_portal.runtime import tracing; tracing.start('web');"
        " made = ('opentelemetry.sdk.trace', 'opentelemetry.exporter');"
        " print([name for name in sys.modules if name.startswith(made)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
