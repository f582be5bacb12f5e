"""allauth adapters: no sign-up, encrypted secrets, counted and recorded attempts."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedTextField

from heygen_portal.branding.current import current
from heygen_portal.people.access import sudo
from heygen_portal.people.invitations import joining
from heygen_portal.people.mail import outgoing, security_mail
from heygen_portal.people.preferences import languages
from heygen_portal.people.sign_in import directory, throttle
from heygen_portal.runtime import client_address
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry

ENCRYPTION = EncryptedTextField()
"""Uses the same keys as providers' API keys."""

UNKNOWN_ADDRESS = "unknown"

AUDIT_KINDS = {
    "mfa/email/totp_activated": AuditEntry.Kind.SECOND_FACTOR_ON,
    "mfa/email/totp_deactivated": AuditEntry.Kind.SECOND_FACTOR_OFF,
}
MAIL_CHANGES: dict[str, security_mail.Change] = {
    "mfa/email/totp_activated": "factor_on",
    "mfa/email/totp_deactivated": "factor_off",
    "mfa/email/recovery_codes_generated": "codes",
}


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _("The user name and password do not match. Both are case-sensitive."),
        "incorrect_password": _("Wrong password."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that attempts are counted by.

        Without one, all clients share one count.
        """
        return client_address.of(request) or UNKNOWN_ADDRESS

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Add none: the portal's own pages show the outcome."""

    def format_email_subject(self, subject: str) -> str:
        return outgoing.subject(subject)

    def get_from_email(self) -> str:
        return outgoing.sender()

    def get_reauthentication_methods(self, user: User) -> list[dict[str, str]]:
        """Add the directory for users who sign in with it."""
        methods: list[dict[str, str]] = super().get_reauthentication_methods(user)
        app = directory.app()
        if app and user.is_authenticated and SocialAccount.objects.filter(user=user).exists():
            words = gettext("Sign in with %(name)s") % {"name": app["name"]}
            methods.append({"id": "directory", "description": words, "url": reverse("account_confirm_by_directory")})
        return methods

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt.

        Raises TooManyRequests. allauth's own limit would let strangers lock a name.
        """
        throttle.admit(request, credentials.get("username", ""))

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        user: User | None = super().authenticate(request, **credentials)
        if user:
            throttle.record_success(request, user)
        return user

    def set_password(self, user: User, password: str) -> None:
        """Store a password that the user chose, also with a reset link.

        Does nothing if the account was closed or deactivated meanwhile, and writes no other column: `user` may still
        hold the names that closing has deleted.
        """
        user.set_password(password)
        if not User.objects.filter(pk=user.pk, is_active=True).update(password=user.password):
            return
        throttle.clear_attempts_of_strangers(user)
        self.request.password_was_set_for = user
        audit_log.record_by(user.pk, client_address.of(self.request), AuditEntry.Kind.PASSWORD_SET, user)
        security_mail.send(self.request, user, "password")

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        languages.remember(user.pk, translation.get_language())
        response: HttpResponse = super().post_login(request, user, **kwargs)
        throttle.remember(request, response, user)
        return response

    def send_notification_mail(self, template_prefix: str, user: User, *args: Any, **kwargs: Any) -> None:
        """Record changes of the second factor, for which allauth has no other hook."""
        if kind := AUDIT_KINDS.get(template_prefix):
            audit_log.record(self.request, kind, user)
        if change := MAIL_CHANGES.get(template_prefix):
            security_mail.send(self.request, user, change)


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    """Single sign-on with the organisation's directory.

    Only known and expected addresses get in.
    """

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[User, str] | None:
        """Return the only user with the verified address, or None."""
        email = _verified_address(sociallogin)
        found = User.objects.filter(email__iexact=email) if email else User.objects.none()
        # PostgreSQL also compares letters beyond ASCII without case: its dotless i would be an i.
        people = [user for user in found if user.email.lower() == email]
        return (people[0], email) if len(people) == 1 else None

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Handle a proof of identity, which only `views.confirm_by_directory` starts."""
        if sociallogin.state.get("process") == AuthProcess.REDIRECT:
            sudo.confirm_by_directory(request, sociallogin)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        email = _verified_address(sociallogin)
        joining.withdraw_changed_for(request, email)
        return joining.is_expected(email)

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        user.username = user.email = user.email.lower()
        return user

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Create the user. A second sign-in of the same person at the same moment has to be repeated."""
        try:
            with transaction.atomic():
                user: User = super().save_user(request, sociallogin, form)
                joining.record_single_sign_on(request, user)
        except IntegrityError as exc:
            raise ImmediateHttpResponse(redirect("account_login")) from exc
        return user


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = {**DefaultMFAAdapter.error_messages, "incorrect_code": _("This code is wrong or has expired.")}

    def get_totp_issuer(self) -> str:
        return current().name

    def encrypt(self, text: str) -> str:
        sealed: bytes = ENCRYPTION.f.encrypt(text.encode())
        return sealed.decode()

    def decrypt(self, encrypted_text: str) -> str:
        opened: bytes = ENCRYPTION.f.decrypt(encrypted_text.encode())
        return opened.decode()


def _verified_address(sociallogin: SocialLogin) -> str:
    """Return the address that the directory reports as verified, or an empty string.

    allauth has lowered it. A letter that becomes another one by that, such as the Kelvin sign, makes the address one
    that its owner does not have.
    """
    data = sociallogin.account.extra_data
    claims = (data, *(data.get(name) or {} for name in ("userinfo", "id_token")))
    if not all(_lowers_to_itself(str(claim.get("email", ""))) for claim in claims):
        return ""
    return next((found.email.lower() for found in sociallogin.email_addresses if found.verified), "")


def _lowers_to_itself(text: str) -> bool:
    return not any(letter.lower().isascii() for letter in text if not letter.isascii())
