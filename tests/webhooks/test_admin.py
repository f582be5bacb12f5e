"""Administrators manage webhooks: secrets shown once, tests, pausing, and the log."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from heygen_portal.models import AuditEntry, EventType, Webhook, WebhookDelivery
from heygen_portal.people.access import roles
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes, delivery, outbox
from heygen_portal.webhooks.outbox import Notice
from heygen_portal.webhooks.sending import Answer
from tests.people.signed_in import age_login

pytestmark = pytest.mark.django_db

PAGE = "/admin/heygen_portal/webhook/"
LOG = "/admin/heygen_portal/webhookdelivery/"
FORM = {"name": "CRM", "url": "https://crm.example.com/hooks", "events": ["session.ended", "incident.opened"]}
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


def client_of(role: roles.Role) -> Client:
    user = User.objects.create_user(f"a-{role.group}", password="a-long-passphrase", is_staff=True)
    user.groups.add(Group.objects.get(name=role.group))
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


@pytest.fixture
def client() -> Client:
    return client_of(roles.ADMINISTRATOR)


@pytest.fixture
def crm() -> Webhook:
    webhook = Webhook(**FORM)
    changes.create(SERVER, webhook)
    return webhook


def text(response: Any) -> str:
    return html.unescape(response.content.decode())


def press(client: Client, page: str, pk: int, button: str) -> Any:
    return client.post(f"{page}{pk}/{button}/", {"_form_submitted": "on"})


def tell() -> WebhookDelivery:
    outbox.write(EventType.SESSION_ENDED, lambda: Notice(EventType.SESSION_ENDED, {"reason": "idle"}))
    return WebhookDelivery.objects.order_by("-pk")[0]


def test_a_new_webhooks_secret_is_shown_once_and_never_in_the_log(client: Client) -> None:
    page = client.post(f"{PAGE}add/", FORM)
    webhook = Webhook.objects.get()
    assert SECRET.findall(text(page)) == [webhook.secret]
    assert "no-store" in page["Cache-Control"]
    assert webhook.events == FORM["events"]
    for address in (PAGE, f"{PAGE}{webhook.pk}/change/", f"{PAGE}{webhook.pk}/replace-secret/"):
        assert webhook.secret not in text(client.get(address))
    entries = AuditEntry.objects.order_by("number").values_list("kind", "data")
    assert [kind for kind, _ in entries] == ["webhook_changed", "webhook_secret_set"]
    assert entries[0][1]["url"] == [None, FORM["url"]]
    assert webhook.secret[6:] not in str(entries)


def test_a_secret_is_replaced_after_a_proof_of_identity(client: Client, crm: Webhook) -> None:
    path = f"{PAGE}{crm.pk}/replace-secret/"
    page = client.post(path)
    [new] = SECRET.findall(text(page))
    stored = Webhook.objects.get()
    assert (stored.secret, stored.former_secret) == (new, crm.secret)
    age_login(client)
    assert client.post(path).status_code == 302
    assert client.post(f"{PAGE}add/", FORM | {"name": "Another"}).status_code == 302
    assert Webhook.objects.get().secret == new


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://crm.example.com/", "Use https."),
        ("https://169.254.169.254/latest/", "not on the public Internet"),
        ("https://user:word@crm.example.com/", "An address like"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused_with_the_reason(client: Client, url: str, problem: str) -> None:
    assert problem in text(client.post(f"{PAGE}add/", FORM | {"url": url}))
    assert not Webhook.objects.exists()


def test_a_change_is_audited_and_keeps_what_the_worker_knows(client: Client, crm: Webhook) -> None:
    Webhook.objects.update(failures=2, failing_since=timezone.now())
    client.post(f"{PAGE}{crm.pk}/change/", FORM | {"includes_speech": "on"})
    webhook = Webhook.objects.get()
    assert (webhook.includes_speech, webhook.failures, webhook.secret) == (True, 2, crm.secret)
    entry = AuditEntry.objects.order_by("-number")[0]
    assert (entry.kind, entry.data) == ("webhook_changed", {"includes_speech": [False, True]})
    log = text(client.get("/admin/heygen_portal/auditentry/"))
    assert "send transcripts: no → yes" in log


def test_a_test_event_is_sent_within_a_budget_and_only_while_enabled(client: Client, crm: Webhook) -> None:
    with override_settings(BUDGETS={"webhook_send.person": "1/minute"}):
        sent, _refused = (press(client, PAGE, crm.pk, "send_test") for _ in range(2))
    row = WebhookDelivery.objects.select_related("message").get()
    assert (row.message.event, row.webhook_id) == ("webhook.test", crm.pk)
    assert f"{LOG}{row.pk}/change/" in (sent.get("HX-Redirect") or sent["Location"])
    changes.pause(SERVER, crm.pk)
    press(client, PAGE, crm.pk, "send_test")
    assert WebhookDelivery.objects.count() == 1


def test_pausing_and_resuming_are_audited_and_say_why(client: Client, crm: Webhook) -> None:
    press(client, PAGE, crm.pk, "pause")
    assert Webhook.objects.get().disabled_because == "staff"
    assert "paused by staff" in text(client.get(PAGE))
    press(client, PAGE, crm.pk, "resume")
    assert Webhook.objects.get().is_enabled
    states = [entry.data["is_enabled"] for entry in AuditEntry.objects.order_by("-number")[:2]]
    assert states == [[False, True], [True, False]]


def test_the_log_shows_what_was_sent_and_answered_and_sends_again(client: Client, crm: Webhook) -> None:
    row = tell()
    answer = Answer(WebhookDelivery.Outcome.REFUSED, 500, '<script>alert("1")</script>')
    [claimed] = delivery._claim_deliveries(crm.pk, timezone.now())
    delivery._store(crm.pk, [(claimed, answer)], timezone.now())
    listed = client.get(f"{LOG}?webhook__id__exact={crm.pk}").content.decode()
    assert "failed, will be tried again" in listed
    assert "<script>alert(" not in listed
    shown = text(client.get(f"{LOG}{row.pk}/change/"))
    assert '"reason": "idle"' in shown
    assert delivery.wire_id(row.message) in shown
    press(client, LOG, row.pk, "resend_one")
    client.post(LOG, {"action": "resend", "_selected_action": [row.pk]})
    assert list(WebhookDelivery.objects.values_list("message", flat=True)) == [row.message_id] * 3
    changes.pause(SERVER, crm.pk)
    client.post(LOG, {"action": "resend", "_selected_action": [row.pk]})
    assert WebhookDelivery.objects.count() == 3


def attempted(webhook: Webhook, outcome: WebhookDelivery.Outcome, http_status: int | None = None) -> WebhookDelivery:
    """Write a message and store an attempt to send it."""
    row = tell()
    [claimed] = delivery._claim_deliveries(webhook.pk, timezone.now())
    delivery._store(webhook.pk, [(claimed, Answer(outcome, http_status, "duplicate key"))], timezone.now())
    row.refresh_from_db()
    return row


def test_a_webhooks_page_says_why_it_fails_and_when_it_is_tried_again(client: Client, crm: Webhook) -> None:
    page = f"{PAGE}{crm.pk}/change/"
    fresh = text(client.get(page))
    assert "Nothing was sent yet" in fresh
    assert "hook-why" not in fresh
    attempted(crm, WebhookDelivery.Outcome.ACCEPTED, 204)
    failed = attempted(crm, WebhookDelivery.Outcome.REFUSED, 500)
    shown = text(client.get(page))
    assert "Last answer: refused 500 <q>duplicate key</q>" in shown
    assert "receivers should accept one that they already have" in shown
    assert "Next attempt:" in shown
    assert "this webhook is paused" in shown
    assert delivery.wire_id(failed.message) in shown  # the example
    only_failed = text(client.get(f"{page}?failed=1"))
    assert shown.count("<code>session.ended</code>") == only_failed.count("<code>session.ended</code>") + 1
    listed = text(client.get(PAGE))
    assert 'class="is-ok"' in listed
    assert 'class="is-bad"' in listed
    assert "failing since" in listed


@pytest.mark.parametrize(
    ("because", "words", "remedy"),
    [
        ("staff", "Paused by staff on", "“Resume” sends what waits first."),
        ("failing", "every attempt had failed for three days", "Repair the receiver, then press “Resume”"),
        ("gone", "the receiver answered 410", "enter the receiver’s new address"),
    ],
)
def test_a_webhooks_page_says_why_it_is_paused_and_how_to_resume(
    client: Client, crm: Webhook, because: str, words: str, remedy: str
) -> None:
    attempted(crm, WebhookDelivery.Outcome.BAD_CERTIFICATE)
    if because == "staff":
        changes.pause(SERVER, crm.pk)
    else:
        changes.disable(crm.pk, Webhook.DisabledBecause(because), timezone.now())
    shown = text(client.get(f"{PAGE}{crm.pk}/change/"))
    assert words in shown
    assert remedy in shown
    assert "1 message waits" in shown
    assert ("invalid certificate" in shown.partition("hook-log")[0]) == (because == "failing")


def test_failed_messages_are_sent_again_within_a_budget(client: Client, crm: Webhook) -> None:
    for _ in range(2):
        attempted(crm, WebhookDelivery.Outcome.REFUSED, 500)
    WebhookDelivery.objects.update(state="given_up", due_at=None, finished_at=timezone.now())
    with override_settings(BUDGETS={"webhook_send.person": "1/minute"}):
        press(client, PAGE, crm.pk, "resend-failed")
    assert WebhookDelivery.objects.count() == 2
    press(client, PAGE, crm.pk, "resend-failed")
    assert WebhookDelivery.objects.waiting().count() == 2


def test_the_former_secret_can_be_ended_while_it_is_valid(client: Client, crm: Webhook) -> None:
    page = f"{PAGE}{crm.pk}/change/"
    assert "end-former-secret" not in text(client.get(page))
    changes.replace_secret(SERVER, crm.pk)
    shown = text(client.get(page))
    assert "end-former-secret" in shown
    assert "both the new and the former secret" in shown
    press(client, PAGE, crm.pk, "end-former-secret")
    assert Webhook.objects.get().former_secret is None
    assert press(client, PAGE, crm.pk, "end-former-secret").status_code == 403


def test_the_list_costs_the_same_queries_however_many_webhooks_there_are(client: Client, crm: Webhook) -> None:
    attempted(crm, WebhookDelivery.Outcome.ACCEPTED, 204)
    client.get(PAGE)
    with CaptureQueriesContext(connection) as one:
        client.get(PAGE)
    for number in range(5):
        other = Webhook(**FORM | {"name": f"Receiver {number}"})
        changes.create(SERVER, other)
        attempted(other, WebhookDelivery.Outcome.ACCEPTED, 204)
    with CaptureQueriesContext(connection) as six:
        client.get(PAGE)
    assert len(six) == len(one)


def test_a_deleted_webhook_leaves_an_audit_entry(client: Client, crm: Webhook) -> None:
    tell()
    client.post(f"{PAGE}{crm.pk}/delete/", {"post": "yes"})
    assert not Webhook.objects.exists()
    assert not WebhookDelivery.objects.exists()
    entry = AuditEntry.objects.order_by("-number")[0]
    assert (entry.kind, entry.about, entry.data["url"]) == ("webhook_changed", "CRM", [FORM["url"], None])


def test_the_menu_counts_webhooks_that_fail(client: Client, crm: Webhook) -> None:
    changes.disable(crm.pk, Webhook.DisabledBecause.FAILING, timezone.now())
    page = text(client.get(PAGE))
    assert "every attempt failed for three days" in page
    client.cookies["django_language"] = "es"
    assert "todos los intentos fallaron durante tres días" in text(client.get(PAGE))
