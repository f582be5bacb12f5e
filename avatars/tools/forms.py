"""The form of a tool. The admin page defines its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from avatars.models import BuiltInTool
from avatars.models.accounts import is_readable
from avatars.tools import requests, schemas
from heygen_portal.runtime.generics import AnyModelForm

CODE_WIDGET = UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false", "class": "font-mono"})


class SecretTextarea(UnfoldAdminTextareaWidget):
    """A text that is never shown, not even after a mistake elsewhere in the form."""

    def format_value(self, value: Any) -> str:
        return ""


class ToolForm(AnyModelForm):
    secret_headers = forms.CharField(
        label=capfirst(_("secret headers")),
        required=False,
        max_length=4000,
        widget=SecretTextarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"}),
    )
    removes_secrets = forms.BooleanField(
        label=_("Remove the secret headers"), required=False, widget=UnfoldBooleanSwitchWidget()
    )

    class Meta:
        widgets = {
            "arguments": CODE_WIDGET,
            "body": CODE_WIDGET,
            "headers": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "description": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.pop("secret_headers", None)
        if "secret_headers" not in self.fields:  # without permission to change
            return
        words = gettext(
            "One per line, as “Authorization: Bearer …”. They are never shown again. Leave empty to keep them. Enter "
            "them again when you change the address."
        )
        if names := self.stored_names():
            words = f"{words} {gettext('Stored: %(names)s.') % {'names': ', '.join(names)}}"
        else:
            del self.fields["removes_secrets"]
        self.fields["secret_headers"].help_text = words

    def stored_names(self) -> list[str]:
        """Return the names of the stored secret headers."""
        stored = self.instance.secrets
        return list(requests.headers_of(stored)) if is_readable(stored) else []

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name in BuiltInTool.values:
            raise ValidationError(_("The portal has a tool of this name."))
        return name

    def clean_body(self) -> str:
        return str(self.cleaned_data["body"]).strip()

    def clean_secret_headers(self) -> str:
        given: str = self.cleaned_data["secret_headers"].strip()
        requests.headers_of(given)
        return given

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "url" not in self.fields:
            return cleaned
        schema = self._checked("arguments", lambda: schemas.read(cleaned["arguments"]))
        self._checked("url", lambda: requests.check_url(cleaned["url"]))
        headers = self._checked("headers", lambda: requests.headers_of(cleaned["headers"]))
        self._checked("body", lambda: requests.check_body(cleaned["body"], cleaned.get("method", "")))
        if schema is not None and not {"url", "body"} & self.errors.keys():
            for name, error in requests.check_arguments(cleaned["url"], cleaned["body"], schema).items():
                self.add_error(name, error)
        if "secret_headers" in cleaned:
            secrets = self._secrets(cleaned)
            cleaned["secret_headers"] = secrets or None  # as it is stored
            secret = requests.headers_of(secrets) if not self.errors else {}
            if {name.lower() for name in secret} & {name.lower() for name in headers or {}}:
                self.add_error("headers", _("A header is either secret or not."))
        return cleaned

    def _secrets(self, cleaned: dict[str, Any]) -> str:
        """Keep the stored secrets only if the address is unchanged. Otherwise another server could get them."""
        given: str = cleaned["secret_headers"]
        stored: str = self.instance.secrets
        if given or not stored or cleaned.get("removes_secrets"):
            return given
        if "url" in self.changed_data:
            self.add_error(
                "secret_headers", _("They would be sent to a new destination. Enter them again, or remove them.")
            )
            return ""
        return stored

    def _checked(self, name: str, check: Callable[[], Any]) -> Any:
        """Return what a check of a valid field returns, or None with its error."""
        if name in self.errors:
            return None
        try:
            return check()
        except ValidationError as exc:
            self.add_error(name, exc)
            return None
