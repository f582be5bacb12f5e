"""Limits on sign-in attempts that do not let strangers lock a user out.

Failed attempts are counted by origin. A device or address that the user has signed in with has its own count; all other
origins share one count per name. A stranger can only use up the shared count: the user still gets in from a known
device, or by resetting the password by mail, which makes the device known.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _

from heygen_portal.models import SignIn
from heygen_portal.people.mail import outgoing
from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.budgets import TooManyRequests

PASSWORD, CODE = "sign_in", "second_factor"
"""Factors that can be guessed. Budget names start with these."""
COOKIE = "known_device"
COOKIE_LIFETIME = timedelta(days=180)
COOKIE_PATH = "/accounts/"
MAX_REMEMBERED_PEOPLE = 5
"""Users per browser for whom it is a known device."""
SALT = "heygen_portal.people.known_device"
HINT = _("You can still sign in from a device you have used before.")
HINT_WITH_MAIL = _(
    "You can still sign in from a device you have used before. You can reset your password by e-mail from any device."
)
MAIL_HINT = _("The e-mails sent in the last hour are still valid.")


class SignInDelayed(TooManyRequests):
    """Too many attempts for this name or from this address."""

    hint = HINT


def admit(request: HttpRequest, name: str) -> None:
    """Count a password attempt before it is checked. Raises TooManyRequests."""
    _admit(request, PASSWORD, name, _person(name))


def admit_code(request: HttpRequest, user: User) -> None:
    """Count a second-factor attempt before the code is checked.

    Raises TooManyRequests.
    """
    _admit(request, CODE, user.get_username(), user)


def _admit(request: HttpRequest, factor: str, name: str, person: User | None) -> None:
    address = client_address.of(request)
    with suppress(TooManyRequests):
        if device := _known_device(request, person):
            budgets.spend_sync(f"{factor}_device", device=device)
            return
    with suppress(TooManyRequests):
        if known_address := _known_address(person, address):
            budgets.spend_sync(f"{factor}_place", place=known_address)
            return
    try:
        budgets.spend_sync(factor, address=address)
        budgets.spend_sync(f"{factor}_elsewhere", login=_name_key(person.get_username() if person else name))
    except TooManyRequests as exc:
        delayed = SignInDelayed(exc.budget, exc.wait_seconds)
        delayed.hint = HINT_WITH_MAIL if outgoing.is_set_up() else HINT
        raise delayed from exc


def record_success(request: HttpRequest, user: User) -> None:
    """Reset the counts of the user's device and address. The shared count stays."""
    _restore(request, PASSWORD, user)


def record_code_success(request: HttpRequest, user: User) -> None:
    """Reset the second-factor counts of the user's device and address."""
    _restore(request, CODE, user)


def _restore(request: HttpRequest, factor: str, user: User) -> None:
    if device := _known_device(request, user):
        budgets.clear(f"{factor}_device", device=device)
    if known_address := _known_address(user, client_address.of(request)):
        budgets.clear(f"{factor}_place", place=known_address)


def record_wrong_proof(request: HttpRequest) -> None:
    """Count a wrong password or code; end the login session after too many.

    Raises ImmediateHttpResponse in that case, to prevent guessing from a stolen login session.
    """
    try:
        budgets.spend_sync("wrong_proof", login_session=_login_session(request))
    except TooManyRequests as exc:
        logout(request)
        raise ImmediateHttpResponse(render(request, "people/login_ended.html", status=403)) from exc


def clear_wrong_proofs(request: HttpRequest) -> None:
    """Reset the count of wrong passwords and codes of this login session."""
    budgets.clear("wrong_proof", login_session=_login_session(request))


def _login_session(request: HttpRequest) -> str:
    """Return a hash of the session key, so that Redis does not hold the key itself."""
    return hashlib.sha256(str(request.session.session_key).encode()).hexdigest()[:32]


def clear_attempts_of_strangers(user: User) -> None:
    """Reset the shared counts of a user who has proved their identity by mail."""
    for factor in (PASSWORD, CODE):
        budgets.clear(f"{factor}_elsewhere", login=_name_key(user.get_username()))


def forget(user: User, names: Collection[str]) -> None:
    """Delete the counts of a closed account.

    `names` are those that its user has or had.
    """
    for name in names:
        for factor in (PASSWORD, CODE):
            budgets.clear(f"{factor}_elsewhere", login=_name_key(name))
        budgets.clear("password_mail", recipient=_name_key(name))
    budgets.clear("password_mail", recipient=_account_key(user))
    addresses = SignIn.objects.filter(user=user).exclude(succeeded=None).values_list("succeeded__ip_address", flat=True)
    for address in set(addresses):
        for factor in (PASSWORD, CODE):
            budgets.clear(f"{factor}_place", place=f"{user.pk}@{address}")


def admit_mail(request: HttpRequest, email: str, users: Collection[User]) -> None:
    """Count a request for mail to an address, which belongs to `users`.

    Every spelling that reaches one user has one count. Raises TooManyRequests for known and unknown addresses alike.
    """
    first = min(users, key=lambda user: user.pk, default=None)
    recipient = _account_key(first) if first else _name_key(email)
    try:
        budgets.spend_sync("password_mail", address=client_address.of(request), recipient=recipient)
    except TooManyRequests as exc:
        exc.hint = MAIL_HINT
        raise


def remember(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """Make this browser a known device of the user until the password changes."""
    others = [entry for entry in _remembered(request) if entry[0] != user.pk]
    own = next((entry for entry in _remembered(request) if entry[0] == user.pk and _is_current(entry, user)), None)
    entry = own or [user.pk, secrets.token_urlsafe(12), _fingerprint(user)]
    response.set_cookie(
        COOKIE,
        signing.dumps([entry, *others][:MAX_REMEMBERED_PEOPLE], salt=SALT),
        max_age=COOKIE_LIFETIME,
        path=COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _known_device(request: HttpRequest, person: User | None) -> str:
    """Return this browser's key if the user knows it, else an empty string."""
    if person is None:
        return ""
    found = (f"{entry[0]}:{entry[1]}" for entry in _remembered(request) if _is_current(entry, person))
    return next(found, "")


def _remembered(request: HttpRequest) -> list[list[Any]]:
    try:
        entries: list[list[Any]] = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=COOKIE_LIFETIME)
    except signing.BadSignature:
        return []
    return entries


def _is_current(entry: list[Any], person: User) -> bool:
    return bool(entry[0] == person.pk) and constant_time_compare(entry[2], _fingerprint(person))


def _fingerprint(user: User) -> str:
    return salted_hmac(SALT, user.password, algorithm="sha256").hexdigest()[:32]


def _known_address(person: User | None, address: str | None) -> str:
    """Return this address's key if the user knows it, else an empty string."""
    if person is None or address is None:
        return ""
    known = SignIn.objects.filter(user=person, succeeded__ip_address=address)
    return f"{person.pk}@{address}" if known.exists() else ""


def _person(name: str) -> User | None:
    return User.objects.filter(username__iexact=name, is_active=True).order_by("pk").first()


def _name_key(name: str) -> str:
    """Return a hash of a name for Redis. Spellings that lead to one account share it."""
    return hashlib.sha256(unicodedata.normalize("NFKC", name).casefold().strip().encode()).hexdigest()[:32]


def _account_key(user: User) -> str:
    return f"account-{user.pk}"
