"""The metrics of all processes at one address, without personal data."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from heygen_portal.providers.http import calls
from heygen_portal.redis import marks
from heygen_portal.runtime import metrics
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.metrics import snapshots
from sessions.health import metrics_page
from sessions.models import QueueEntry, ServerProcess
from tests.sessions.health.conftest import Observed
from tests.support.factories import EndUserFactory, PersonaFactory, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

Samples = list[Sample]


def samples(text: str) -> Samples:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def total(found: Samples, metric: str, **labels: str) -> float:
    return sum(sample.value for sample in found if sample.name == metric and labels.items() <= sample.labels.items())


def scrape(observed: Observed) -> Samples:
    answer = httpx.get(f"{observed.portal.url}/metrics", trust_env=False, timeout=WAIT_TIMEOUT_S)
    assert answer.status_code == 200
    return samples(answer.text)


def test_one_scrape_has_the_conversation_as_all_processes_saw_it(observed: Observed) -> None:
    give_up_at = time.monotonic() + WAIT_TIMEOUT_S
    while True:  # until the worker has booked the session and stored its metrics
        found = scrape(observed)
        if total(found, "portal_events_total", kind="booked") or time.monotonic() > give_up_at:
            break
    roles = {sample.labels["process"].partition("-")[0] for sample in found if "process" in sample.labels}
    assert {"web", "worker", "beat"} <= roles
    assert total(found, "portal_session_starts_total") == 1
    assert total(found, "portal_session_ends_total", reason="user_stopped") == 1
    assert total(found, "portal_first_frame_seconds_count") == 1
    assert total(found, "portal_texts_total", outcome="sent") >= 1
    sent = {"provider": "heygen", "call": "POST /v1/streaming.task"}
    assert total(found, "portal_provider_calls_total", outcome="ok", **sent) >= 1
    assert total(found, "portal_provider_call_seconds_count", **sent) >= 1
    assert total(found, "portal_events_total", kind="booked") == 1
    assert total(found, "portal_jobs_total", name="sessions.tasks.enforce_limits", outcome="done") >= 1
    assert total(found, "portal_ticks_total") >= 1
    assert total(found, "portal_sessions") == 0
    assert total(found, "portal_redis_up") == 1
    assert total(found, "portal_check_failing", check="worker") == 0


def test_metrics_hold_no_personal_data(observed: Observed) -> None:
    text = httpx.get(f"{observed.portal.url}/metrics", trust_env=False, timeout=WAIT_TIMEOUT_S).text
    for word in (observed.conversation.session_id, "demo", "127.0.0.1", "xylophone", "Zacatecas"):
        assert word not in text


def test_metrics_are_for_monitors_only(observed: Observed) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    answer = httpx.get(f"{observed.portal.url}/metrics", headers=forwarded, trust_env=False, timeout=WAIT_TIMEOUT_S)
    assert answer.status_code == 403


@pytest.fixture
def fresh_redis(settings: Any, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    marks.client.cache_clear()
    marks.client().flushdb()


def page() -> Samples:
    return samples(metrics_page.page(timezone.now()).decode())


@pytest.mark.django_db
def test_what_the_processes_share_is_read_from_the_database(fresh_redis: None) -> None:
    persona = PersonaFactory.create(published=True)
    for status in ("live", "live", "stopping", "ended"):
        StreamingSessionFactory.create(status=status)
    process = ServerProcess.objects.create(lease_ends_at=timezone.now())
    whose = {"user": EndUserFactory.create(), "account": persona.avatar.account, "persona": persona}
    since = timezone.now() - timedelta(minutes=5)
    QueueEntry.objects.create(**whose, process=process, channel="a-tab", created_at=since)
    found = page()
    by_state = {sample.labels["state"]: sample.value for sample in found if sample.name == "portal_sessions"}
    assert by_state == {"requested": 0, "creating": 0, "connecting": 0, "live": 2, "stopping": 1}
    assert total(found, "portal_queue_length") == 1
    assert total(found, "portal_queue_oldest_wait_seconds") >= 300


@pytest.mark.django_db
def test_processes_of_several_machines_are_told_apart_and_forgotten_when_gone(fresh_redis: None) -> None:
    snapshots.store("worker-1")
    snapshots.store("worker-2")
    assert {"worker-1", "worker-2"} <= {sample.labels.get("process") for sample in page()}
    marks.client().delete("portal-metrics:worker-1")  # it has not stored for a minute
    assert "worker-1" not in {sample.labels.get("process") for sample in page()}
    assert b"worker-1" not in set(marks.client().smembers("portal-metrics"))


@pytest.mark.django_db
def test_without_redis_a_web_process_answers_for_itself(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    marks.client.cache_clear()
    found = page()
    assert total(found, "portal_redis_up") == 0
    assert any(sample.name == "portal_sockets" for sample in found)
    marks.client.cache_clear()


@pytest.mark.proof
@pytest.mark.usefixtures("postgres")
def test_connections_are_counted_on_postgresql(fresh_redis: None) -> None:
    found = page()
    assert total(found, "portal_database_connections") >= 1
    assert total(found, "portal_database_connections_max") >= total(found, "portal_database_connections")


def test_calls_are_named_without_ids() -> None:
    assert calls.name_of("DELETE", "/v1/contexts/8f7c1e2a-0001") == "DELETE /v1/contexts/{id}"
    assert calls.name_of("GET", "/v1/sessions/Josh_lite3_2023/transcript") == "GET /v1/sessions/{id}/transcript"


def test_names_of_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_known", {str(number) for number in range(100)})
    assert calls.name_of("GET", "/v1/one.more") == "other"


def test_every_metric_is_documented() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "monitoring.md").read_text()
    documented = set(re.findall(r"(?m)^\| `(portal_\w+)` ", text))
    own = {metric.name for metric in metrics.registry.collect() if metric.name.startswith("portal_")}
    assert documented == own | set(metrics_page.SHARED)


def test_refusals_of_a_budget_are_counted() -> None:
    def refused() -> float:
        return metrics.registry.get_sample_value("portal_budget_refusals_total", {"budget": "task"}) or 0

    before = refused()
    TooManyRequests("task", 1)
    assert refused() == before + 1
