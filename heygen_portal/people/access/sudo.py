"""Sudo mode: sensitive actions need a recent proof of identity.

Signing in counts as proof, and so does entering a password or code again, or signing in again at the directory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.models import SocialLogin
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import resolve
from django.utils.http import urlencode
from encrypted_fields.fields import EncryptedTextField

ENCRYPTION = EncryptedTextField()
"""Encrypts posted forms like providers' keys, because a form may contain one."""
MAX_KEPT_FORM_CHARACTERS = 200_000
"""Size of the largest form that is kept during the proof, in characters."""
DIRECTORY_SIGN_IN_S = 300
"""Maximum age of a sign-in at the directory in seconds, including clock differences."""

View = TypeVar("View", bound=Callable[..., Any])


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the user's last proof of identity is recent enough.

    ACCOUNT_REAUTHENTICATION_TIMEOUT is the limit.
    """
    records = get_authentication_records(request, request.user)
    newest = max((record["at"] for record in records), default=0.0)
    return 0 <= time.time() - newest < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def required(view: View) -> View:
    """Decorate a view or admin method so that it asks for a recent proof of identity."""

    @wraps(view)
    def page(*args: Any, **kwargs: Any) -> Any:
        request = next(value for value in args if isinstance(value, HttpRequest))
        return view(*args, **kwargs) if is_confirmed(request) else ask(request)

    return cast(View, page)


class SudoToSave:
    """Mixin: saving a form needs a recent proof of identity."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and not is_confirmed(request):
            return ask(request)
        admin_class: Any = super()
        return admin_class.changeform_view(request, *args, **kwargs)


def ask(request: HttpRequest, return_to: str = "") -> HttpResponse:
    """Redirect to the proof of identity.

    Afterwards return to `return_to`, or repeat this request.
    """
    methods = get_adapter(request).get_reauthentication_methods(request.user)
    if not methods:
        return render(request, "people/no_way_to_confirm.html", status=403)
    path = return_to or request.get_full_path()
    state = {"path": path, "path_info": request.path_info, "query": request.GET.urlencode()}
    if request.method == "POST" and not return_to:
        posted = request.POST.copy()
        posted.pop("csrfmiddlewaretoken", None)
        if len(encoded := posted.urlencode()) <= MAX_KEPT_FORM_CHARACTERS:
            state["post"] = ENCRYPTION.f.encrypt(encoded.encode()).decode()
    request.session[STATE_SESSION_KEY] = {"state": state, "callback": f"{__name__}.{resume.__name__}"}
    url = f"{methods[0]['url']}?{urlencode({'next': path})}"
    # The theme's script submits the admin's dialogs and follows only this header.
    return HttpResponse(headers={"HX-Redirect": url}) if "HX-Request" in request.headers else redirect(url)


def resume(request: HttpRequest, state: dict[str, str]) -> HttpResponseBase:
    """Continue the request that `ask` interrupted.

    allauth calls this after the proof.
    """
    if get_next_redirect_url(request) != state["path"]:  # an abandoned request: the proof was for another page
        return redirect(get_next_redirect_url(request) or settings.LOGIN_REDIRECT_URL)
    if "post" not in state:
        return redirect(state["path"])
    try:
        posted = ENCRYPTION.f.decrypt(state["post"].encode()).decode()
    except InvalidToken:
        return redirect(state["path"])
    match = resolve(state["path_info"])
    request.method, request.path, request.path_info = "POST", state["path"].partition("?")[0], state["path_info"]
    request.META |= {"REQUEST_METHOD": "POST", "PATH_INFO": state["path_info"], "QUERY_STRING": state["query"]}
    request.GET = QueryDict(state["query"])
    request.POST = QueryDict(posted)
    request.resolver_match = match
    vars(request)["_dont_enforce_csrf_checks"] = True  # checked when it was first posted
    response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
    return redirect(response.headers["HX-Redirect"]) if "HX-Redirect" in response.headers else response


def confirm_by_directory(request: HttpRequest, login: SocialLogin) -> None:
    """Record a fresh sign-in at the directory as proof.

    Raises ImmediateHttpResponse if it is not one.

    The directory reports when the sign-in took place in `auth_time`; a missing `auth_time` is accepted.
    """
    claims = login.account.extra_data.get("id_token") or {}
    signed_in_at = claims.get("auth_time", time.time())
    is_fresh = isinstance(signed_in_at, int | float) and abs(time.time() - signed_in_at) < DIRECTORY_SIGN_IN_S
    if not (login.is_existing and login.user.pk == request.user.pk and is_fresh):
        raise ImmediateHttpResponse(render(request, "people/not_confirmed.html", status=403))
    account = login.account
    record_authentication(
        request, login.user, "socialaccount", reauthenticated=True, provider=account.provider, uid=account.uid
    )
