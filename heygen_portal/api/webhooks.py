"""Operations on webhooks: receivers, their secrets, and the log of deliveries."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _
from ninja import Field, Path, Query, Schema
from ninja.responses import Status as Answer
from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from heygen_portal.models.webhooks import MAX_URL_CHARACTERS, EventType, Webhook, WebhookDelivery
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.problems import Problem
from heygen_portal.rest.schemas import Input, Key, LongKey, Text
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.webhooks import changes, delivery
from heygen_portal.webhooks.admin import WebhookForm
from heygen_portal.webhooks.changes import WebhookPaused
from heygen_portal.webhooks.delivery import DamagedMessage

operations = Operations("Webhooks")
READ, WRITE = (Scope.WEBHOOKS_READ,), (Scope.WEBHOOKS_WRITE,)
MAX_NAME_CHARACTERS = 80
SELECTABLE = [event.value for event in EventType.selectable()]


def _require_selectable(event: str) -> str:
    if event not in SELECTABLE:
        raise ValueError("an event that webhooks can choose")
    return event


EventName = Annotated[str, AfterValidator(_require_selectable), WithJsonSchema({"type": "string", "enum": SELECTABLE})]


class WebhookOut(Schema):
    """A receiver of events."""

    id: int
    name: str
    url: str
    events: list[str]
    includes_speech: bool = Field(description="`transcript.ready` then contains what was said.")
    is_enabled: bool
    paused_because: str = Field(description="`staff`, `failing` or `gone`; empty while it is enabled.")
    paused_at: datetime | None
    failures: int = Field(description="Failed attempts since the last success.")
    failing_since: datetime | None
    former_secret_until: datetime | None = Field(
        description="Until then messages also carry a signature of the secret before."
    )
    created_at: datetime

    @classmethod
    def of(cls, row: Webhook) -> WebhookOut:
        return cls(
            id=row.pk,
            name=row.name,
            url=row.url,
            events=[event for event in row.events if isinstance(event, str)],
            includes_speech=row.includes_speech,
            is_enabled=row.is_enabled,
            paused_because=row.disabled_because,
            paused_at=row.disabled_at,
            failures=row.failures,
            failing_since=row.failing_since,
            former_secret_until=row.former_secret_until,
            created_at=row.created_at,
        )


class CreatedWebhook(WebhookOut):
    """A new webhook, with the secret that signs its messages. It is not shown again."""

    secret: str


class ReplacedSecret(Schema):
    """A new secret, which is not shown again. The one before signs beside it for a day."""

    secret: str
    former_secret_until: datetime


class WebhookSettings(Input):
    """Where to send what."""

    name: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS)]
    url: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_URL_CHARACTERS)] = Field(
        description="HTTPS, and on the public Internet unless an operator allows it."
    )
    events: Annotated[list[EventName], Field(min_length=1, max_length=len(SELECTABLE))]
    includes_speech: bool = Field(False, description="Send transcripts with `transcript.ready`.")


class DeliveryOut(Schema):
    """One message to one receiver, with the outcome of the last attempt."""

    id: int
    event: str
    at: datetime
    message_id: str = Field(description="The header `webhook-id`, the same in all attempts.")
    session_id: UUID | None
    state: str = Field(description="`waiting`, `delivered` or `given_up`.")
    attempts: int
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
    outcome: str = Field(description="A stable code; empty before the first attempt.")
    http_status: int | None
    answer: str = Field(description="The beginning of the receiver's answer.")
    took_ms: int | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: WebhookDelivery) -> DeliveryOut:
        return cls(
            id=row.pk,
            event=row.message.event,
            at=row.message.at,
            message_id=delivery.wire_id(row.message),
            session_id=row.session_id,
            state=row.state,
            attempts=row.attempts,
            last_attempt_at=row.attempted_at,
            next_attempt_at=row.due_at,
            outcome=row.outcome,
            http_status=row.http_status,
            answer=row.answer,
            took_ms=round(row.took.total_seconds() * 1000) if row.took is not None else None,
            finished_at=row.finished_at,
        )


class DeliveryContent(DeliveryOut):
    """A delivery with what is sent, except speech."""

    content: dict[str, Any] | None = Field(description="null if the stored data are damaged.")


class DeliveryQuery(PageQuery):
    state: Literal["waiting", "delivered", "given_up"] | None = None
    session_id: UUID | None = None


@operations.get("/webhooks", scopes=READ, response=Page[WebhookOut])
async def list_webhooks(request: ApiRequest, query: Query[PageQuery]) -> Page[WebhookOut]:
    """List the webhooks."""
    return await in_thread(_webhooks)(query)


def _webhooks(query: PageQuery) -> Page[WebhookOut]:
    found, next_cursor = pages.read(Webhook.objects.all(), query, by="pk", newest_first=False)
    return Page(items=[WebhookOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/webhooks", scopes=WRITE, response={201: CreatedWebhook})
async def create_webhook(request: ApiRequest, body: WebhookSettings) -> Answer[CreatedWebhook]:
    """Add a webhook, and return its secret this once."""
    await _spend_staff_action(request.caller)
    return Answer(201, await in_thread(_create)(request.caller, body))


def _create(caller: Caller, body: WebhookSettings) -> CreatedWebhook:
    webhook = _filled_in(body, None)
    try:
        secret = changes.create(caller.actor, webhook)
    except IntegrityError as exc:
        raise _name_taken() from exc
    return CreatedWebhook(**WebhookOut.of(webhook).model_dump(), secret=secret)


@operations.get("/webhooks/{webhook_id}", scopes=READ, response=WebhookOut)
async def get_webhook(request: ApiRequest, webhook_id: Path[Key]) -> WebhookOut:
    """Return one webhook."""
    return await in_thread(lambda: WebhookOut.of(_webhook(webhook_id)))()


@operations.put("/webhooks/{webhook_id}", scopes=WRITE, response=WebhookOut)
async def change_webhook(request: ApiRequest, webhook_id: Path[Key], body: WebhookSettings) -> WebhookOut:
    """Replace the settings of a webhook. Its secret stays."""
    await _spend_staff_action(request.caller)
    return await in_thread(_change)(request.caller, webhook_id, body)


def _change(caller: Caller, webhook_id: int, body: WebhookSettings) -> WebhookOut:
    try:
        with transaction.atomic():
            webhook = _filled_in(body, _locked(webhook_id))
            changes.change(caller.actor, webhook)
    except IntegrityError as exc:
        raise _name_taken() from exc
    return WebhookOut.of(webhook)


@operations.delete("/webhooks/{webhook_id}", scopes=WRITE, response={204: None})
async def delete_webhook(request: ApiRequest, webhook_id: Path[Key]) -> Answer[None]:
    """Delete a webhook with its log. What waits for it is not sent."""
    await _spend_staff_action(request.caller)
    await in_thread(_delete)(request.caller, webhook_id)
    return Answer(204, None)


@transaction.atomic
def _delete(caller: Caller, webhook_id: int) -> None:
    changes.delete(caller.actor, _locked(webhook_id))


@operations.post("/webhooks/{webhook_id}/secret", scopes=WRITE, response=ReplacedSecret)
async def replace_webhook_secret(request: ApiRequest, webhook_id: Path[Key]) -> ReplacedSecret:
    """Replace the secret of a webhook, and return the new one this once."""
    await _spend_staff_action(request.caller)
    return await in_thread(_replace_secret)(request.caller, webhook_id)


@transaction.atomic
def _replace_secret(caller: Caller, webhook_id: int) -> ReplacedSecret:
    _locked(webhook_id)
    secret = changes.replace_secret(caller.actor, webhook_id)
    until = _webhook(webhook_id).former_secret_until
    assert until  # just set
    return ReplacedSecret(secret=secret, former_secret_until=until)


@operations.post("/webhooks/{webhook_id}/pause", scopes=WRITE, response=WebhookOut)
async def pause_webhook(request: ApiRequest, webhook_id: Path[Key]) -> WebhookOut:
    """Stop sending. What happens meanwhile is never sent. Repeating it changes nothing."""
    await _spend_staff_action(request.caller)
    return await in_thread(_pause)(request.caller, webhook_id)


def _pause(caller: Caller, webhook_id: int) -> WebhookOut:
    _webhook(webhook_id)
    changes.pause(caller.actor, webhook_id)
    return WebhookOut.of(_webhook(webhook_id))


@operations.post("/webhooks/{webhook_id}/resume", scopes=WRITE, response=WebhookOut)
async def resume_webhook(request: ApiRequest, webhook_id: Path[Key]) -> WebhookOut:
    """Send to a paused webhook again, first of all what waits. Repeating it changes nothing."""
    await _spend_staff_action(request.caller)
    return await in_thread(_resume)(request.caller, webhook_id)


def _resume(caller: Caller, webhook_id: int) -> WebhookOut:
    _webhook(webhook_id)
    changes.resume(caller.actor, webhook_id)
    return WebhookOut.of(_webhook(webhook_id))


@operations.post("/webhooks/{webhook_id}/test", scopes=WRITE, response={201: DeliveryOut})
async def send_test_event(request: ApiRequest, webhook_id: Path[Key]) -> Answer[DeliveryOut]:
    """Send the event `webhook.test`. The answer is the delivery: read it again for the outcome."""
    await _spend_sending(request.caller)
    return Answer(201, await in_thread(_send_test)(webhook_id))


def _send_test(webhook_id: int) -> DeliveryOut:
    try:
        return DeliveryOut.of(changes.send_test(_webhook(webhook_id)))
    except WebhookPaused as exc:
        raise _paused() from exc


@operations.get("/webhooks/{webhook_id}/deliveries", scopes=READ, response=Page[DeliveryOut])
async def list_deliveries(request: ApiRequest, webhook_id: Path[Key], query: Query[DeliveryQuery]) -> Page[DeliveryOut]:
    """List what was sent to a webhook, and what waits, the newest first."""
    return await in_thread(_deliveries)(webhook_id, query)


def _deliveries(webhook_id: int, query: DeliveryQuery) -> Page[DeliveryOut]:
    rows = WebhookDelivery.objects.filter(webhook=_webhook(webhook_id)).select_related("message")
    rows = rows.filter(state=query.state) if query.state else rows
    rows = rows.filter(session_id=query.session_id) if query.session_id else rows
    found, next_cursor = pages.read(rows, query, by="pk")
    return Page(items=[DeliveryOut.of(row) for row in found], next_cursor=next_cursor)


@operations.get("/webhooks/{webhook_id}/deliveries/{delivery_id}", scopes=READ, response=DeliveryContent)
async def get_delivery(request: ApiRequest, webhook_id: Path[Key], delivery_id: Path[LongKey]) -> DeliveryContent:
    """Return one delivery with its content."""
    return await in_thread(_content)(webhook_id, delivery_id)


def _content(webhook_id: int, delivery_id: int) -> DeliveryContent:
    row = _delivery(webhook_id, delivery_id)
    try:
        content = json.loads(delivery.body_of(row.message, {}))
    except DamagedMessage:
        content = None
    return DeliveryContent(**DeliveryOut.of(row).model_dump(), content=content)


@operations.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/resend", scopes=WRITE, response={201: DeliveryOut})
async def resend_delivery(
    request: ApiRequest, webhook_id: Path[Key], delivery_id: Path[LongKey]
) -> Answer[DeliveryOut]:
    """Send a message again, under the same `message_id`. The answer is a new delivery."""
    await _spend_sending(request.caller)
    return Answer(201, await in_thread(_resend)(webhook_id, delivery_id))


def _resend(webhook_id: int, delivery_id: int) -> DeliveryOut:
    try:
        return DeliveryOut.of(changes.resend(_delivery(webhook_id, delivery_id)))
    except WebhookPaused as exc:
        raise _paused() from exc


def _webhook(webhook_id: int) -> Webhook:
    row = Webhook.objects.filter(pk=webhook_id).first()
    if row is None:
        raise problems.not_found()
    return row


def _locked(webhook_id: int) -> Webhook:
    row = Webhook.objects.select_for_update().filter(pk=webhook_id).first()
    if row is None:
        raise problems.not_found()
    return row


def _delivery(webhook_id: int, delivery_id: int) -> WebhookDelivery:
    rows = WebhookDelivery.objects.filter(webhook=webhook_id).select_related("webhook", "message")
    row = rows.filter(pk=delivery_id).first()
    if row is None:
        raise problems.not_found()
    return row


def _filled_in(body: WebhookSettings, webhook: Webhook | None) -> Webhook:
    """Return a webhook with these settings, validated as in the admin. Raises Problem."""
    form = WebhookForm(body.model_dump() | {"events": list(dict.fromkeys(body.events))}, instance=webhook)
    if not form.is_valid():
        raise problems.refused_form("webhook_refused", _("This webhook is not possible."), form.errors)
    filled: Webhook = form.save(commit=False)
    return filled


def _name_taken() -> Problem:
    words = _("Another webhook has this name.")
    return Problem(409, "webhook_refused", _("This webhook is not possible."), detail=words)


def _paused() -> Problem:
    return Problem(409, "webhook_paused", _("Nothing is sent to paused webhooks. Resume them first."))


async def _spend_staff_action(caller: Caller) -> None:
    await budgets.spend("staff_action", person=caller.user_id, address=caller.address)


async def _spend_sending(caller: Caller) -> None:
    await budgets.spend("webhook_send", person=caller.user_id, address=caller.address)
