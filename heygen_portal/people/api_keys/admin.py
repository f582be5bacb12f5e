"""API keys in the admin: created, replaced and revoked, never edited. The secret is shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import formats, timezone
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.models import ApiKey
from heygen_portal.people.access import sudo
from heygen_portal.people.api_keys import keys
from heygen_portal.people.api_keys.forms import ApiKeyForm
from heygen_portal.trail.change_log import Actor

SHOWN_ONCE = "new_api_key"  # attribute of a request, from save_model to response_add
# A key that expires within this time is marked.
EXPIRES_SOON = timedelta(days=14)
SCOPES_IN_LIST = 3
NEW_FIELDS = ("name", "owner", "scopes", "lifetime", "per_minute", "addresses", "is_test")
SHOWN_FIELDS = (
    "name", "shown_prefix", "owner", "scope_list", "state_text", "addresses", "per_minute", "is_test", "created_by",
    "created_at", "expires_at", "last_used_at", "revoked_at", "replaced_by",
)  # fmt: skip


class StateFilter(admin.SimpleListFilter):
    """Active keys unless revoked and expired ones are asked for."""

    title = _("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("over", _("revoked or expired")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        found = list(super().choices(changelist))
        found[0]["display"] = gettext("active")
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        active = ApiKey.objects.active().values("pk")
        match self.value():
            case "all":
                return queryset
            case "over":
                return queryset.exclude(pk__in=active)
        return queryset.filter(pk__in=active)


@admin.register(ApiKey)
class ApiKeyAdmin(sudo.SudoToSave, NoDelete, ModelAdmin):
    form = ApiKeyForm
    list_display = ("name", "shown_prefix", "first_scopes", "owner", "last_use", "expiry")
    list_filter = (StateFilter,)
    list_select_related = ("owner",)
    search_fields = ("name__folded", "prefix", "owner__username__folded")
    autocomplete_fields = ("owner",)
    readonly_fields = SHOWN_FIELDS
    actions_detail = ("replace", "revoke_one")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return SHOWN_FIELDS if obj else NEW_FIELDS

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return SHOWN_FIELDS if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"owner": request.user.pk}

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Return False, because a key's owner and scopes never change."""
        return False

    def has_manage_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return super().has_change_permission(request)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ApiKeyForm, change: bool) -> None:
        assert isinstance(request.user, User)  # the admin requires a login
        _require_may_hold(request, obj)
        obj.created_by = request.user
        vars(request)[SHOWN_ONCE] = keys.create(obj, Actor.of(request))

    def response_add(self, request: HttpRequest, obj: ApiKey, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show_secret(request, obj, vars(request)[SHOWN_ONCE])

    def _show_secret(self, request: HttpRequest, key: ApiKey, secret: str, replaced: ApiKey | None = None) -> Any:
        """Show the secret in this response only: it is stored nowhere."""
        title = gettext("Key “%(name)s” created") % {"name": key.name}
        context = {"title": title, "key": key, "secret": secret, "replaced": replaced, "opts": self.opts}
        page = render(request, "admin/api_key_secret.html", self.admin_site.each_context(request) | context)
        add_never_cache_headers(page)
        return page

    @action(description=_("Replace"), url_path="replace", permissions=["manage"])
    @sudo.required
    def replace(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask before the key is replaced, and show the new secret."""
        key: ApiKey = object_or_404(self, request, object_id)
        _require_may_hold(request, key)
        if request.method == "POST":
            if done := keys.replace(key, Actor.of(request)):
                key.refresh_from_db()
                return self._show_secret(request, *done, replaced=key)
            self.message_user(request, gettext("This key is no longer active."), messages.WARNING)
            return redirect("admin:heygen_portal_apikey_change", object_id)
        context = {"title": gettext("Replace %(name)s") % {"name": key}, "key": key, "opts": self.opts}
        context["hours"] = keys.REPLACEMENT_OVERLAP // timedelta(hours=1)
        return render(request, "admin/api_key_replace.html", self.admin_site.each_context(request) | context)

    @action(
        description=_("Revoke"),
        permissions=["manage"],
        dialog=confirm_dialog(_("Revoke this key? Programs that use it stop working at once."), _("Revoke")),
    )
    @sudo.required
    def revoke_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        key: ApiKey = object_or_404(self, request, object_id)
        if keys.revoke(key, Actor.of(request)):
            self.message_user(request, gettext("%(key)s has been revoked.") % {"key": key}, messages.SUCCESS)
        else:
            self.message_user(request, gettext("This key is no longer active."), messages.WARNING)
        return redirect_to_change_page(ApiKey, object_id)

    @display(description=_("key"))
    def shown_prefix(self, key: ApiKey) -> str:
        return format_html("<code>{}…</code>", key.prefix)

    @display(description=_("scopes"))
    def scope_list(self, key: ApiKey) -> str:
        return _scopes(key.scopes.split())

    @display(description=_("scopes"))
    def first_scopes(self, key: ApiKey) -> str:
        """Show a few scopes, and how many more there are."""
        names = key.scopes.split()
        more = len(names) - SCOPES_IN_LIST
        return _scopes([*names[:SCOPES_IN_LIST], *([f"+{more}"] if more > 0 else [])])

    @display(description=_("last used"), ordering="last_used_at")
    def last_use(self, key: ApiKey) -> str:
        return _moment(key.last_used_at) if key.last_used_at else gettext("never")

    @display(description=_("expires"), ordering="expires_at", label={"soon": "warning", "over": "danger", "": "info"})
    def expiry(self, key: ApiKey) -> tuple[str, str]:
        if key.revoked_at:
            return "over", gettext("revoked")
        if key.expires_at is None:
            return "", gettext("never")
        if keys.is_expired(key, timezone.now()):
            return "over", gettext("expired")
        return "soon" if key.expires_at - timezone.now() < EXPIRES_SOON else "", _moment(key.expires_at)

    @display(description=_("status"))
    def state_text(self, key: ApiKey) -> str:
        if key.revoked_at:
            return gettext("revoked")
        return gettext("expired") if keys.is_expired(key, timezone.now()) else gettext("active")


def _require_may_hold(request: HttpRequest, key: ApiKey) -> None:
    """Raise PermissionDenied if the secret of this key would grant a superuser's access to somebody else."""
    if key.owner.is_superuser and not request.user.is_superuser:
        raise PermissionDenied


def _scopes(names: list[str]) -> str:
    """Return one element, which phones show as one."""
    return format_html("<div>{}</div>", format_html_join(mark_safe("<br>"), "<code>{}</code>", ((it,) for it in names)))


def _moment(moment: Any) -> str:
    return formats.date_format(timezone.localtime(moment), "SHORT_DATETIME_FORMAT")
