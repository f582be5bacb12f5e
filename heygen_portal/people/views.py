"""Pages for joining and signing in that allauth lacks or that extend its pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from allauth.account import views as account
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import resume_request
from allauth.account.utils import get_next_redirect_url, perform_login
from allauth.socialaccount.adapter import get_adapter as get_social_adapter
from allauth.socialaccount.internal.flows.signup import clear_pending_signup
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.openid_connect import views as openid
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.http import urlencode
from django.views import i18n
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from requests import RequestException

from heygen_portal.people.access import logins
from heygen_portal.people.invitations import joining
from heygen_portal.people.mail import outgoing, security_mail
from heygen_portal.people.preferences import languages
from heygen_portal.people.sign_in import directory, throttle
from heygen_portal.people.sign_in.forms import AcceptInvitationForm, ChangePasswordForm
from heygen_portal.runtime import budgets, client_address
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry

logger = logging.getLogger(__name__)

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


def mail_required(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Decorate a view that sends mail: not found without a mail server."""

    @login_not_required
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not outgoing.is_set_up():
            raise Http404
        return view(request, *args, **kwargs)

    return page


@mail_required
def password_reset(request: HttpRequest) -> HttpResponseBase:
    """Send a password reset link. The form charges the budget."""
    response: HttpResponseBase = account.password_reset(request)
    return response


@login_not_required
def password_reset_from_key(request: HttpRequest, uidb36: str, key: str) -> HttpResponseBase:
    """Let a user choose a new password, and make this browser a known device."""
    if request.method == "POST":
        budgets.spend_sync("password_link", address=client_address.of(request))
    response: HttpResponseBase = account.password_reset_from_key(request, uidb36=uidb36, key=key)
    if user := getattr(request, "password_was_set_for", None):
        throttle.remember(request, response, user)
    return response


@login_not_required
def single_sign_on(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Redirect to the directory.

    Only POST: a link leads to the sign-in page with its button.

    allauth's `process` parameter, which could connect another person's directory account, is refused.
    """
    if request.method != "POST":
        return redirect("account_login")
    if "process" in request.GET or "process" in request.POST:
        raise Http404
    budgets.spend_sync("single_sign_on", address=client_address.of(request))
    return _ask_directory(openid.login, request, provider_id)


@login_not_required
def single_sign_on_done(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Handle the directory's redirect back."""
    return _ask_directory(openid.callback, request, provider_id)


@login_not_required
def sign_in_again(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in page, without what allauth has kept for a sign-up form."""
    clear_pending_signup(request)
    return redirect("account_login")


def _ask_directory(view: Callable[..., HttpResponseBase], request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Call a view that contacts the directory.

    Show an error page if the directory does not answer.
    """
    try:
        return view(request, provider_id)
    except RequestException as exc:
        return _directory_unavailable(request, exc)


def _directory_unavailable(request: HttpRequest, exc: RequestException) -> HttpResponse:
    logger.warning("the single sign-on directory did not answer: %s", type(exc).__name__)
    return render(request, "socialaccount/authentication_error.html", status=502)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_by_directory(request: HttpRequest) -> HttpResponseBase:
    """Prove identity by signing in at the directory again, keeping the login session."""
    methods = get_adapter(request).get_reauthentication_methods(request.user)
    app = directory.app()
    if app is None or all(method["id"] != "directory" for method in methods):
        raise Http404
    next_url = get_next_redirect_url(request) or ""
    if request.method != "POST":
        others = [method for method in methods if method["id"] != "directory"]
        return render(
            request, "people/confirm_by_directory.html", {"name": app["name"], "next": next_url, "others": others}
        )
    budgets.spend_sync("single_sign_on", person=request.user.pk, address=client_address.of(request))
    back = f"{reverse('account_confirmed')}?{urlencode({'next': next_url})}"
    ask_again = {"prompt": "login", "max_age": "0"}
    provider = get_social_adapter().get_provider(request, app["provider_id"])
    try:
        answer: HttpResponseBase = provider.redirect(
            request, AuthProcess.REDIRECT, next_url=back, auth_params=ask_again
        )
    except RequestException as exc:
        return _directory_unavailable(request, exc)
    return answer


@never_cache
def confirmed(request: HttpRequest) -> HttpResponseBase:
    """Continue where the proof of identity was requested."""
    return resume_request(request) or redirect(settings.LOGIN_REDIRECT_URL)


@login_not_required
@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponseBase:
    """Let an invited person enter a name and password and sign them in."""
    if request.user.is_authenticated:
        return render(request, "people/already_in.html")
    found = joining.find(token)
    if not found:
        return render(request, "people/invitation_over.html", status=410)
    if joining.withdraw_if_changed(request, found):
        return render(request, "people/invitation_over.html", {"is_changed": True}, status=410)
    user = User(username=found.email, email=found.email)
    if request.method == "POST":
        budgets.spend_sync("accept_invitation", address=client_address.of(request))
    form = AcceptInvitationForm(request.POST if request.method == "POST" else None, instance=user)
    if form.is_valid():
        if not joining.accept(request, found, user):
            return render(request, "people/invitation_over.html", status=410)
        user.backend = MODEL_BACKEND
        response: HttpResponseBase = perform_login(request, user, email_verification="none")
        return response
    return render(request, "people/invitation.html", {"form": form, "invitation": found})


class PasswordChange(auth.PasswordChangeView):
    form_class = ChangePasswordForm
    template_name = "account/password_change.html"
    success_url = reverse_lazy("mfa_index")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        throttle.admit(request, request.user.get_username())  # because the form checks the old password
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        response = super().form_valid(form)
        assert isinstance(self.request.user, User)  # LoginRequiredMiddleware guarantees it
        audit_log.record(self.request, AuditEntry.Kind.PASSWORD_SET, self.request.user)
        security_mail.send(self.request, self.request.user, "password")
        throttle.remember(self.request, response, form.user)
        return response


def sign_out_everywhere(request: HttpRequest) -> HttpResponseBase:
    """End a user's other login sessions and, if requested, this one. Only POST."""
    if request.method != "POST":
        return redirect("mfa_index")
    ends_this_too = "here" in request.POST
    ended = logins.end_all(request.user.pk or 0, except_key=request.session.session_key)
    if ends_this_too:
        logout(request)
        return redirect(settings.LOGOUT_REDIRECT_URL)
    return render(request, "people/signed_out.html", {"ended": ended})


@login_not_required
def set_language(request: HttpRequest) -> HttpResponse:
    """Set the language with Django's view, and remember it for a signed-in user."""
    response = i18n.set_language(request)
    if request.method == "POST" and request.user.pk:
        languages.remember(request.user.pk, request.POST.get("language"))
    return response
