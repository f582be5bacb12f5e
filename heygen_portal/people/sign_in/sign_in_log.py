"""Links rows of the sign-in log to users.

The log stores the typed name, which may change hands.
"""

from __future__ import annotations

from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_session_hash, get_client_username
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest

from heygen_portal.models import SignIn


class PortalAxesHandler(AxesDatabaseHandler):
    def user_logged_in(self, sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
        with transaction.atomic():
            super().user_logged_in(sender, request, user, **kwargs)
            rows = AccessLog.objects.filter(username=user.get_username(), session_hash=get_client_session_hash(request))
            if row := rows.order_by("-pk").first():
                SignIn.objects.get_or_create(succeeded=row, defaults={"user": user})

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        if request is None:
            super().user_login_failed(sender, credentials, request, **kwargs)
            return
        name = get_client_username(request, credentials)
        attempts = AccessAttempt.objects.filter(
            username=name,
            ip_address=vars(request)["axes_ip_address"],
            user_agent=vars(request)["axes_user_agent"],
        )
        with transaction.atomic():
            is_new = not attempts.exists()
            super().user_login_failed(sender, credentials, request, **kwargs)
            if row := attempts.first():
                _link_to_user(row, _user_called(name or ""), is_new)


def _link_to_user(attempt: AccessAttempt, user: User | None, is_new: bool) -> None:
    """Link a failed attempt to a user, or unlink it if it now concerns two people.

    axes counts attempts with the same name, address and browser in one row.
    """
    if is_new and user:
        SignIn.objects.create(failed=attempt, user=user)
    elif not is_new:
        SignIn.objects.filter(failed=attempt).exclude(user=user).delete()


def _user_called(name: str) -> User | None:
    """Return the user with this name, else the only one with this e-mail address."""
    for same in ({"username": name}, {"username__iexact": name}, {"email__iexact": name}):
        found = list(User.objects.filter(**same)[:2]) if name else []
        if found:
            return found[0] if len(found) == 1 else None
    return None
