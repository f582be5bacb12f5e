"""Forms for sign-in, passwords, the second factor and accepting an invitation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from allauth.account import forms as account
from allauth.core import context
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordMixin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from heygen_portal.people.sign_in import throttle
from heygen_portal.runtime.generics import AnyModelForm


class PortalLabels:
    """Mixin that sets the portal's labels and help texts and removes placeholders."""

    LABELS: ClassVar = {
        "login": _("User name"),
        "code": _("Code"),
        "email": _("E-mail address"),
        "password": _("Password"),
        "password1": _("New password"),
        "password2": _("Repeat new password"),
        "old_password": _("Current password"),
        "new_password1": _("New password"),
        "new_password2": _("Repeat new password"),
    }
    HELP_TEXTS: ClassVar = {
        name: _("At least 8 characters, not similar to your name, and not a common password.")
        for name in ("password1", "new_password1")
    }

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label = self.LABELS.get(name, field.label)
            field.help_text = self.HELP_TEXTS.get(name, "")
            field.widget.attrs.pop("placeholder", None)


@contextmanager
def counting_wrong_proofs(request: HttpRequest) -> Iterator[None]:
    """Count wrong passwords or codes; too many end the login session."""
    try:
        yield
    except ValidationError:
        throttle.record_wrong_proof(request)
        raise
    throttle.clear_wrong_proofs(request)


class SignInForm(PortalLabels, account.LoginForm):
    pass


class ReauthenticateForm(PortalLabels, account.ReauthenticateForm):
    def clean_password(self) -> str:
        """Check the password. The adapter counts the attempt like a sign-in."""
        with counting_wrong_proofs(context.request):
            password: str = super().clean_password()
        return password


class ResetPasswordForm(PortalLabels, account.ResetPasswordForm):
    users: list[User]

    def clean_email(self) -> str:
        """Find the accounts, and count the mail by them instead of by the address as it was typed."""
        email: str = super().clean_email()
        throttle.admit_mail(context.request, email, self.users)
        return email


class NewPasswordForm(PortalLabels, account.ResetPasswordKeyForm):
    pass


class ChangePasswordForm(PortalLabels, PasswordChangeForm):
    def clean_old_password(self) -> str:
        with counting_wrong_proofs(context.request):
            return super().clean_old_password()


class ThrottledCode:
    """Mixin for second-factor forms: counts each attempt before checking the code."""

    user: User

    def clean_code(self) -> str:
        throttle.admit_code(context.request, self.user)
        code: str = super().clean_code()  # type: ignore[misc]  # allauth's form
        throttle.record_code_success(context.request, self.user)
        return code


class CodeForm(ThrottledCode, PortalLabels, mfa.AuthenticateForm):
    pass


class ReauthenticateCodeForm(ThrottledCode, PortalLabels, mfa.ReauthenticateForm):
    def clean_code(self) -> str:
        with counting_wrong_proofs(context.request):
            return super().clean_code()


class SetUpSecondFactorForm(ThrottledCode, PortalLabels, ActivateTOTPForm):
    pass


if TYPE_CHECKING:
    PasswordMixin = SetPasswordMixin[User]
else:
    PasswordMixin = SetPasswordMixin


class AcceptInvitationForm(PortalLabels, PasswordMixin, AnyModelForm):
    """Name and password of an invited person."""

    LABELS: ClassVar = {"password1": _("Password"), "password2": _("Repeat password")}
    password1, password2 = SetPasswordMixin.create_password_fields()

    class Meta:
        model = User
        fields = ("first_name", "last_name")
        labels = {"first_name": _("First name"), "last_name": _("Last name")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, autocomplete in (("first_name", "given-name"), ("last_name", "family-name")):
            self.fields[name].required = True
            self.fields[name].widget.attrs["autocomplete"] = autocomplete

    def clean(self) -> dict[str, Any]:
        self.validate_passwords()
        return super().clean() or self.cleaned_data

    def _post_clean(self) -> None:
        hook: Any = super()  # a hook of Django's that the stubs lack
        hook._post_clean()
        self.validate_password_for_user(
            self.instance
        )  # after the name is set, because the password must not resemble it
        if self.cleaned_data.get("password1"):
            self.instance.set_password(self.cleaned_data["password1"])
