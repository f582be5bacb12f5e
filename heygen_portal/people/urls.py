"""Sign-in URLs. Only the pages of allauth that are listed here are reachable."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.socialaccount import views as social
from django.contrib.auth.views import LogoutView
from django.urls import path, re_path

from heygen_portal.people import views
from heygen_portal.people.access import sudo

urlpatterns = [
    path("login/", account.login, name="account_login"),
    path("logout/", LogoutView.as_view(), name="account_logout"),
    path("logout/everywhere/", views.sign_out_everywhere, name="account_sign_out_everywhere"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("reauthenticate/directory/", views.confirm_by_directory, name="account_confirm_by_directory"),
    path("reauthenticate/done/", views.confirmed, name="account_confirmed"),
    path("password/", views.PasswordChange.as_view(), name="account_change_password"),
    path("password/reset/", views.password_reset, name="account_reset_password"),
    path("password/reset/done/", account.password_reset_done, name="account_reset_password_done"),
    path("password/reset/key/done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("invitation/<str:token>/", views.invitation, name="invitation"),
    path("sso/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    # Where allauth sends a person whose account was created by another sign-in at the same moment.
    path("sso/again/", views.sign_in_again, name="socialaccount_signup"),
    path("sso/<slug:provider_id>/", views.single_sign_on, name="openid_connect_login"),
    path("sso/<slug:provider_id>/callback/", views.single_sign_on_done, name="openid_connect_callback"),
    path("second-factor/", mfa.index, name="mfa_index"),
    path("second-factor/ask/", mfa.authenticate, name="mfa_authenticate"),
    path("second-factor/again/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("second-factor/set-up/", totp.activate_totp, name="mfa_activate_totp"),
    path("second-factor/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("second-factor/codes/", sudo.required(codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path("second-factor/codes/new/", codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("second-factor/codes/file/", sudo.required(codes.download_recovery_codes), name="mfa_download_recovery_codes"),
]
