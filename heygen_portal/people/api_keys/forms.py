"""The form of a new API key."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from heygen_portal.models import ApiKey
from heygen_portal.people.access import live_access
from heygen_portal.people.api_keys import scopes
from heygen_portal.people.api_keys.scopes import RULES, Scope
from heygen_portal.runtime.generics import AnyModelForm

MAX_ADDRESSES = 20
LIFETIMES = (
    ("30", _("In 30 days")),
    ("90", _("In 90 days")),
    ("365", _("In 12 months")),
    ("", _("Never")),
)


class ApiKeyForm(AnyModelForm):
    """Scopes, lifetime and limits of a new key. Its owner must be allowed to do what it may do."""

    lifetime = forms.ChoiceField(
        label=_("Expires"), choices=LIFETIMES, initial="365", required=False, widget=UnfoldAdminSelectWidget
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=[(scope.value, format_lazy("{} · {}", scope.value, RULES[scope].label)) for scope in Scope],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = ApiKey
        fields = ("name", "owner", "addresses", "per_minute", "is_test")

    def clean_scopes(self) -> str:
        return scopes.as_stored(map(Scope, self.cleaned_data["scopes"]))

    def clean_addresses(self) -> str:
        """Return the networks as they are compared. A host address is a network of one."""
        written = self.cleaned_data["addresses"].replace(",", " ").split()
        if len(written) > MAX_ADDRESSES:
            raise ValidationError(_("At most %(most)d addresses."), params={"most": MAX_ADDRESSES})
        try:
            return " ".join(str(ip_network(one, strict=False)) for one in written)
        except ValueError as exc:
            raise ValidationError(_("%(error)s: enter addresses like 203.0.113.0/28."), params={"error": exc}) from exc

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            self._check_owner(cleaned["owner"], cleaned["scopes"])
        return cleaned

    def _check_owner(self, owner: User, stored: str) -> None:
        chosen = scopes.parse(stored)
        loss, permissions = live_access.standing(owner.pk, scopes.permissions_of(chosen))
        missing = sorted(chosen - (frozenset() if loss else scopes.held(chosen, permissions)))
        if missing:
            words = _("%(owner)s may not do this: %(scopes)s.")
            self.add_error("scopes", ValidationError(words, params={"owner": owner, "scopes": ", ".join(missing)}))

    def save(self, commit: bool = True) -> Any:
        key: ApiKey = super().save(commit=False)
        key.scopes = self.cleaned_data["scopes"]
        days = self.cleaned_data["lifetime"]
        key.expires_at = timezone.now() + timedelta(days=int(days)) if days else None
        return key
