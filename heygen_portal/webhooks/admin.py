"""Webhooks in the admin: receivers, their state and secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.forms import MultipleChoiceField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.models import EventType, Webhook, WebhookDelivery
from heygen_portal.people.access import sudo
from heygen_portal.postgresql import clock
from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.generics import AnyModelForm
from heygen_portal.runtime.refusals import full_message
from heygen_portal.trail.change_log import Actor
from heygen_portal.webhooks import addresses, changes, overview
from heygen_portal.webhooks.addresses import AddressForbidden
from heygen_portal.webhooks.changes import WebhookPaused

SHOWN_SECRET_CHARACTERS = 4
RECENT = timedelta(days=1)
MAX_RESENT = 100
"""At once."""
FAILED_ONLY = "failed"
"""In the query of a webhook's page: show only the deliveries that failed."""
SHOWN_ONCE = "shown_once"  # attribute of a webhook: its secret, from saving it to the page that shows it
State = WebhookDelivery.State
PAUSED = _("Nothing is sent to paused webhooks. Resume them first.")


class WebhookForm(AnyModelForm):
    events = MultipleChoiceField(
        label=_("Events"),
        choices=lambda: [(event.value, f"{event.label} ({event.value})") for event in EventType.selectable()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = Webhook
        fields = changes.EDITABLE
        help_texts = {
            "url": _("HTTPS only. Addresses inside your network must be allowed in the server’s settings."),
        }

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            addresses.check_url(url)
        except AddressForbidden as exc:
            raise ValidationError(str(exc.why)) from exc
        return url


@admin.register(Webhook)
class WebhookAdmin(sudo.SudoToSave, ModelAdmin):
    """Receivers. Their secrets are shown once."""

    empty_words = _("A webhook tells one of your systems when something happens, such as the end of a session.")
    form = WebhookForm
    list_display = ("name_and_address", "state", "event_names", "last_attempt", "recent")
    search_fields = ("name__folded", "url")
    fields = (
        "name", "url", "events", "includes_speech", "state_text", "secret_end", "former_secret_until", "created_at",
    )  # fmt: skip
    readonly_fields = ("state_text", "secret_end", "former_secret_until", "created_at")
    actions_detail = (
        "send_test", "resend_failed", "replace_secret", "end_former_secret", "pause", "resume",
    )  # fmt: skip
    change_form_outer_before_template = "admin/webhook_trouble.html"
    change_form_outer_after_template = "admin/webhook_deliveries.html"

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        return self.fields if obj else changes.EDITABLE

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """Annotate how many deliveries wait, and how those of the last day ended."""
        rows: QuerySet[Webhook] = super().get_queryset(request)
        ended = WebhookDelivery.objects.filter(finished_at__gte=timezone.now() - RECENT)
        delivered, given_up = (_count(ended.filter(state=state)) for state in (State.DELIVERED, State.GIVEN_UP))
        waiting = _count(WebhookDelivery.objects.waiting())
        return rows.annotate(delivered=delivered, given_up=given_up, waiting=waiting)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Add to each row its last day and its last attempt, in three queries for the whole page."""
        changelist = super().get_changelist_instance(request)
        rows = {webhook.pk: webhook for webhook in changelist.result_list}
        hours, attempts = overview.hours(rows, clock.now()), overview.last_attempts(rows)
        for pk, webhook in rows.items():
            vars(webhook)["hours"], vars(webhook)["attempt"] = hours[pk], attempts.get(pk)
        return changelist

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        webhook = context.get("original")
        if isinstance(webhook, Webhook):
            context["overview"] = overview.read(webhook, failed_only=FAILED_ONLY in request.GET)
            context["failed_only"] = FAILED_ONLY in request.GET
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description=_("name"), ordering="name")
    def name_and_address(self, webhook: Webhook) -> str:
        return format_html(
            '<span class="hook-cell">{}<span class="hook-address">{}</span></span>', webhook.name, webhook.url
        )

    @display(description=_("status"), label={"ok": "success", "failing": "danger", "paused": "warning"})
    def state(self, webhook: Webhook) -> tuple[str, str]:
        if not webhook.is_enabled:
            return "paused", webhook.get_disabled_because_display()
        if webhook.failing_since:
            since = date_format(timezone.localtime(webhook.failing_since), "SHORT_DATETIME_FORMAT")
            return "failing", gettext("failing since %(since)s") % {"since": since}
        return "ok", gettext("delivering")

    @display(description=_("status"))
    def state_text(self, webhook: Webhook) -> str:
        return self.state(webhook)[1]

    @display(description=_("events"))
    def event_names(self, webhook: Webhook) -> str:
        names = format_html_join("", '<code class="hook-event">{}</code>', ((str(event),) for event in webhook.events))
        return format_html('<span class="hook-cell">{}</span>', names)

    @display(description=_("last delivery"))
    def last_attempt(self, webhook: Webhook) -> str:
        row: WebhookDelivery | None = vars(webhook)["attempt"]
        if row is None:
            return "–"
        at = date_format(timezone.localtime(row.attempted_at), "SHORT_DATETIME_FORMAT")
        return format_html(
            '<span class="hook-cell">{}<br>{}</span>',
            at,
            " ".join(filter(None, (row.get_outcome_display(), str(row.http_status or "")))),
        )

    @display(description=_("last 24 hours"))
    def recent(self, webhook: Webhook) -> str:
        counts = {name: vars(webhook)[name] or 0 for name in ("delivered", "given_up", "waiting")}
        words = gettext("%(delivered)s delivered, %(given_up)s given up, %(waiting)s waiting") % counts
        return render_to_string(
            "admin/webhook_hours.html", {"bars": overview.bars(vars(webhook)["hours"]), "words": words}
        )

    @display(description=_("signing secret"))
    def secret_end(self, webhook: Webhook) -> str:
        return format_html("<code>whsec_••••••{}</code>", webhook.secret[-SHOWN_SECRET_CHARACTERS:])

    def save_model(self, request: HttpRequest, obj: Webhook, form: WebhookForm, change: bool) -> None:
        if not change:
            vars(obj)[SHOWN_ONCE] = changes.create(Actor.of(request), obj)
            return
        changes.change(Actor.of(request), obj)

    def response_add(self, request: HttpRequest, obj: Webhook, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._secret_page(request, obj, vars(obj)[SHOWN_ONCE])

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name only the webhooks. Their log, which nobody can delete by itself, goes with them."""
        webhooks = list(objs)
        return webhooks, {self.opts.verbose_name_plural: len(webhooks)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        changes.delete(Actor.of(request), obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        for webhook in queryset:
            changes.delete(Actor.of(request), webhook)

    # Buttons

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Leave out the buttons that stand elsewhere on the page, beside what they are about."""
        actions: list[Any] = super().get_actions_detail(request, object_id)
        return [action for action in actions if action.path not in ("resend-failed", "end-former-secret")]

    def has_replace_secret_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.has_change_permission(request)

    @action(description=_("Replace secret"), url_path="replace-secret", permissions=["replace_secret"])
    @sudo.required
    def replace_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        webhook: Webhook = object_or_404(self, request, object_id)
        if request.method != "POST":
            return self._secret_page(request, webhook)
        return self._secret_page(request, webhook, changes.replace_secret(Actor.of(request), webhook.pk))

    def _secret_page(self, request: HttpRequest, webhook: Webhook, secret: str = "") -> HttpResponse:
        """Ask whether to replace the secret, or show a new one, which nothing shows again."""
        context = {"title": gettext("Signing secret"), "webhook": webhook, "secret": secret, "opts": self.opts}
        page = render(request, "admin/webhook_secret.html", self.admin_site.each_context(request) | context)
        page["Cache-Control"] = "no-store"
        return page

    def has_end_former_secret_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.has_change_permission(request) and _has_former_secret(object_id)

    @action(
        description=_("End the former secret"),
        url_path="end-former-secret",
        permissions=["end_former_secret"],
        dialog=confirm_dialog(
            _("Sign with the new secret only? A receiver that still has the former one then refuses every message."),
            _("End it"),
        ),
    )
    def end_former_secret(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        webhook: Webhook = object_or_404(self, request, object_id)
        changes.end_former_secret(Actor.of(request), webhook.pk)
        return redirect_to_change_page(Webhook, object_id)

    @action(
        description=_("Send failed ones again"),
        url_path="resend-failed",
        permissions=["pause"],
        dialog=confirm_dialog(
            _("Send everything again that failed? Messages have the same IDs, so the receiver can tell duplicates."),
            _("Send again"),
        ),
    )
    def resend_failed(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Send again what was given up, and what waits for its next attempt, at once."""
        webhook: Webhook = object_or_404(self, request, object_id)
        count = min(MAX_RESENT, WebhookDelivery.objects.filter(overview.FAILED, webhook=webhook).count())
        if not webhook.is_enabled:
            self.message_user(request, PAUSED, messages.WARNING)
        elif may_send(self, request, count):
            count = changes.resend_failed(webhook, count)
            words = ngettext("%(count)d message is sent again.", "%(count)d messages are sent again.", count)
            self.message_user(request, words % {"count": count}, messages.SUCCESS)
        return redirect_to_change_page(Webhook, object_id)

    @action(
        description=_("Send a test event"),
        permissions=["pause"],
        dialog=confirm_dialog(_("Send a test event to this address?"), _("Send")),
    )
    def send_test(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        webhook: Webhook = object_or_404(self, request, object_id)
        if not may_send(self, request):
            return redirect_to_change_page(Webhook, object_id)
        try:
            sent = changes.send_test(webhook)
        except WebhookPaused:
            self.message_user(request, PAUSED, messages.WARNING)
            return redirect_to_change_page(Webhook, object_id)
        self.message_user(request, gettext("The test event is on its way. Reload this page to see the answer."))
        return redirect_to_change_page(WebhookDelivery, str(sent.pk))

    def has_pause_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.has_change_permission(request) and _is_enabled(object_id) is not False

    @action(
        description=_("Pause"),
        permissions=["pause"],
        dialog=confirm_dialog(
            _("Pause this webhook? What happens meanwhile is never sent. What waits already is kept for three days."),
            _("Pause"),
        ),
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        webhook: Webhook = object_or_404(self, request, object_id)
        changes.pause(Actor.of(request), webhook.pk)
        return redirect_to_change_page(Webhook, object_id)

    def has_resume_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.has_change_permission(request) and _is_enabled(object_id) is not True

    @action(
        description=_("Resume"),
        permissions=["resume"],
        dialog=confirm_dialog(_("Send to this webhook again? What still waits is sent first."), _("Resume")),
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        webhook: Webhook = object_or_404(self, request, object_id)
        changes.resume(Actor.of(request), webhook.pk)
        return redirect_to_change_page(Webhook, object_id)


def _count(rows: QuerySet[WebhookDelivery]) -> Subquery:
    """Return the number of these deliveries of the outer query's webhook, from an index."""
    of_webhook = rows.filter(webhook=OuterRef("pk")).order_by().values("webhook")
    return Subquery(of_webhook.annotate(number=Count("pk")).values("number"))


def _has_former_secret(object_id: str | None) -> bool:
    if not (object_id and str(object_id).isdecimal()):
        return True  # asked for all webhooks
    return Webhook.objects.filter(pk=object_id, former_secret_until__gt=clock.now()).exists()


def _is_enabled(object_id: str | None) -> bool | None:
    """Return whether a webhook is enabled, or None if there is none."""
    if not (object_id and str(object_id).isdecimal()):
        return None
    return Webhook.objects.filter(pk=object_id).values_list("is_enabled", flat=True).first()


def may_send(model_admin: Any, request: HttpRequest, count: int = 1) -> bool:
    """Charge what staff send by hand. Show a message and return False if they send too much."""
    try:
        budgets.spend_sync("webhook_send", cost=count, person=request.user.pk, address=client_address.of(request))
    except TooManyRequests as exc:
        model_admin.message_user(request, full_message(exc.wait_seconds), messages.ERROR)
        return False
    return True


def badge(request: HttpRequest) -> str:
    """Return the menu entry's badge: the number of webhooks that fail or were paused because they did."""
    failing = Q(failing_since__isnull=False) | Q(is_enabled=False) & ~Q(disabled_because=Webhook.DisabledBecause.STAFF)
    return str(Webhook.objects.filter(failing).count() or "")
