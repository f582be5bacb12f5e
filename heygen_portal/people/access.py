"""Whether people who hold a socket open may still have it: asked when it is used, and again while it is open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.crypto import constant_time_compare

PERMISSION_BACKEND = "django.contrib.auth.backends.ModelBackend"


class Loss(StrEnum):
    """Why a person may no longer have what they had."""

    DEACTIVATED = "deactivated"
    ROLE = "role"
    SIGNED_OUT = "signed_out"
    SECOND_FACTOR = "second_factor"


@dataclass(frozen=True)
class Claim:
    """What an open socket rests on: a login session, and a permission of its person."""

    login_key: str
    user_id: int
    permission: str
    is_for_staff: bool = False


def losses(claims: Collection[Claim]) -> dict[Claim, Loss]:
    """Return the claims that no longer hold, each with its cause. Two queries, however many they are."""
    logins = {
        row.session_key: row.session_data
        for row in Session.objects.filter(pk__in={claim.login_key for claim in claims}, expire_date__gt=timezone.now())
    }
    people = _people({claim.user_id for claim in claims}, {claim.permission for claim in claims})
    found = ((claim, _loss(claim, logins, people.get(claim.user_id))) for claim in claims)
    return {claim: loss for claim, loss in found if loss}


def _people(user_ids: set[int], permissions: set[str]) -> Mapping[int, Any]:
    has = {
        _name(permission): Exists(
            User.objects.with_perm(permission, backend=PERMISSION_BACKEND).filter(pk=OuterRef("pk"))
        )
        for permission in permissions
    }
    factors = Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)
    return User.objects.filter(pk__in=user_ids).annotate(has_second_factor=Exists(factors), **has).in_bulk()


def _name(permission: str) -> str:
    return "may_" + permission.replace(".", "_")


def _loss(claim: Claim, logins: Mapping[str, str], person: Any) -> Loss | None:
    if person is None or not person.is_active:
        return Loss.DEACTIVATED
    if not _is_signed_in(logins.get(claim.login_key), person):
        return Loss.SIGNED_OUT
    if not getattr(person, _name(claim.permission)) or (claim.is_for_staff and not person.is_staff):
        return Loss.ROLE
    if settings.STAFF_NEEDS_SECOND_FACTOR and person.is_staff and not person.has_second_factor:
        return Loss.SECOND_FACTOR
    return None


def _is_signed_in(login: str | None, person: User) -> bool:
    """Whether a stored login session is this person's, and was made with the password as it is now."""
    said = SessionStore().decode(login) if login else {}
    if str(said.get(SESSION_KEY)) != str(person.pk):
        return False
    known = said.get(HASH_SESSION_KEY) or ""
    hashes = (person.get_session_auth_hash(), *person.get_session_auth_fallback_hash())
    return any(constant_time_compare(known, one) for one in hashes)
