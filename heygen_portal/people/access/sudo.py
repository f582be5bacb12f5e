"""Sudo mode: what could hand over the portal or its data needs a recent proof of who is asking.

Signing in counts as one, and so does typing a password or a code again, or signing in again at the directory.
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
"""The keys that seal providers' keys: one may be among what was posted."""
MAX_KEPT_FORM_CHARACTERS = 200_000
"""Characters of a form that is kept while its sender proves who they are."""
DIRECTORY_SIGN_IN_S = 300
"""Seconds for which a sign-in at the directory is a fresh one, clocks that differ included."""

View = TypeVar("View", bound=Callable[..., Any])


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the person has proved who they are within ACCOUNT_REAUTHENTICATION_TIMEOUT."""
    records = get_authentication_records(request, request.user)
    newest = max((record["at"] for record in records), default=0.0)
    return 0 <= time.time() - newest < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def required(view: View) -> View:
    """Decorate a view, or a method of an admin class, that only a confirmed person may use."""

    @wraps(view)
    def page(*args: Any, **kwargs: Any) -> Any:
        request = next(value for value in args if isinstance(value, HttpRequest))
        return view(*args, **kwargs) if is_confirmed(request) else ask(request)

    return cast(View, page)


class SudoToSave:
    """Mixin for admin classes whose forms only a confirmed person may save."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and not is_confirmed(request):
            return ask(request)
        admin_class: Any = super()
        return admin_class.changeform_view(request, *args, **kwargs)


def ask(request: HttpRequest, return_to: str = "") -> HttpResponse:
    """Send the person to prove who they are, and then on: to `return_to`, or to the same page with what they posted."""
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
    # A dialog of the admin is sent by the theme's script, which follows this header only.
    return HttpResponse(headers={"HX-Redirect": url}) if "HX-Request" in request.headers else redirect(url)


def resume(request: HttpRequest, state: dict[str, str]) -> HttpResponseBase:
    """Go on with what `ask` interrupted. allauth calls it once the person has proved who they are."""
    if get_next_redirect_url(request) != state["path"]:  # left lying when they turned to something else
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
    """Take a fresh sign-in at the directory for a proof. Raises ImmediateHttpResponse where it is none.

    A directory that is asked for a fresh sign-in says when it took place; one that leaves that out is believed.
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
