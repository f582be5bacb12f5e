"""Access matrix: who may use each address, message and action.

One letter per role: s signed out · g guest · u end user · e editor · o operator · a auditor · m administrator.
A new address, message or action must be added here, or test_matrix.py fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

NO_ROLE = ""
ALL = "sgueoam"  # without signing in
SIGNED_IN = "ueoam"  # all signed-in users
STAFF = "eoam"
MAY_TALK = "ueom"


@dataclass(frozen=True)
class Page:
    """`args` override the arguments from rows.py, and `data` is posted or queried."""

    who: str
    method: Literal["get", "post"] = "get"
    args: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def post(who: str, **data: Any) -> Page:
    return Page(who, "post", data=data)


# By the address's name; " · " and a word tell several lines of one address apart.
PAGES: dict[str, str | Page] = {
    "health": ALL,
    "set_language": post(ALL, language="en"),
    # The brand. Pages of guests and the sign-in page show it.
    "brand_stylesheet": ALL,
    "brand_picture": ALL,
    "brand_manifest": ALL,
    "about": SIGNED_IN,
    # Signing in. All signed-in users can open their own pages.
    "account_login": ALL,
    "account_logout": post(SIGNED_IN),
    "account_sign_out_everywhere": post(SIGNED_IN),
    "account_inactive": ALL,
    "account_reset_password": ALL,
    "account_reset_password_done": ALL,
    "account_reset_password_from_key": ALL,
    "account_reset_password_from_key_done": ALL,
    "invitation": ALL,
    "openid_connect_login": post(ALL),
    "openid_connect_callback": NO_ROLE,  # none of the roles brings the directory's answer
    "socialaccount_login_cancelled": ALL,
    "socialaccount_signup": ALL,
    "mfa_authenticate": ALL,  # leads to the sign-in page, unless a password has just been typed
    "account_reauthenticate": SIGNED_IN,
    "account_confirm_by_directory": NO_ROLE,  # only for people whom the directory signs in
    "account_confirmed": SIGNED_IN,
    "account_change_password": SIGNED_IN,
    "mfa_index": SIGNED_IN,
    "mfa_activate_totp": SIGNED_IN,
    "mfa_deactivate_totp": NO_ROLE,  # no role in the test has set it up
    "mfa_reauthenticate": SIGNED_IN,
    "mfa_view_recovery_codes": NO_ROLE,  # as above
    "mfa_generate_recovery_codes": SIGNED_IN,
    "mfa_download_recovery_codes": NO_ROLE,  # as above
    # Talking, and one's own history.
    "avatars:gallery": SIGNED_IN,
    "avatars:help": SIGNED_IN,
    "avatars:preview": SIGNED_IN,
    "avatars:sample": STAFF,
    "sessions:room": MAY_TALK,
    "sessions:trial": "em",
    "sessions:withdraw_consent": post(SIGNED_IN),
    "sessions:check": SIGNED_IN,
    "sessions:check_room": post(MAY_TALK),
    "sessions:leave": post(SIGNED_IN),  # one's own
    "sessions:personal_data": SIGNED_IN,
    "sessions:personal_data_download": post(SIGNED_IN),
    "sessions:close_account": SIGNED_IN,
    "sessions:conversations": SIGNED_IN,
    "sessions:conversation": SIGNED_IN,
    "sessions:conversation · another user's": Page(NO_ROLE, args={"session_id": "another"}),
    "sessions:source": SIGNED_IN,
    "sessions:source · another user's": Page(NO_ROLE, args={"session_id": "another"}),
    "sessions:transcript": SIGNED_IN,
    "sessions:transcript · another user's": Page(NO_ROLE, args={"session_id": "another"}),
    "sessions:erase": SIGNED_IN,
    "sessions:brain": post(NO_ROLE),  # none of the roles has a session's token
    "sessions:livekit_webhook": post(NO_ROLE),  # none of the roles has the server's signature
    # Guests' pages. Anybody may ask to be let in; what a guest said is only that guest's.
    "sessions:embed": ALL,
    "sessions:embed_check": ALL,
    "sessions:embed_check_site": post(ALL),
    "sessions:embed_script": ALL,
    "sessions:guest_link": ALL,
    "sessions:guest_preview": ALL,
    "sessions:guest_visit": post(ALL),
    "sessions:guest_leave": post(ALL),  # the answer does not say whose session it is
    "sessions:guest_erase": post("g"),
    # Recorded videos.
    "avatars:video": STAFF,
    "avatars:video_file": STAFF,
    "avatars:fetch_video": post(STAFF),
    # Former addresses, which redirect.
    "moved-to-avatars/provideraccount/setup-checklist/": SIGNED_IN,
    "moved-to-avatar_sessions/quota/": SIGNED_IN,
    "moved-to-avatar_sessions/queueentry/": SIGNED_IN,
    "moved-to-avatar_sessions/streamingsession/search/": SIGNED_IN,
    # The admin.
    "admin:index": STAFF,
    "admin:login": NO_ROLE,  # to the portal's own page, or nowhere
    "admin:logout": post(SIGNED_IN),
    "admin:password_change": STAFF,
    "admin:password_change_done": STAFF,
    "admin:autocomplete": Page(STAFF, data={"app_label": "avatars", "model_name": "persona", "field_name": "avatar"}),
    "admin:jsi18n": STAFF,
    "admin:search": STAFF,
    "admin:app_list": STAFF,
    "admin:view_on_site": NO_ROLE,  # no model has a page outside
    "admin:auth_user_password_change": "m",
    "admin:avatars_persona_offers": STAFF,
    "admin:avatars_provideraccount_setup_checklist": "m",
    "admin:avatar_sessions_streamingsession_live": "oam",
    "admin:avatar_sessions_search": "am",
    "admin:avatar_sessions_sessiontotal_costs": "oam",
    "admin:avatar_sessions_sessiontotal_reconciliation": "oam",
    "admin:avatar_sessions_export_new": "am",
    "admin:avatar_sessions_export_change · post": post("am"),  # a page of its own, where nothing is changed
    "admin:avatar_sessions_export_file": NO_ROLE,  # only its requester; tests/sessions/exports/test_list_export.py
}

# What the admin shows of each model: see, add, change, delete. The history is for those who may change.
MODELS: dict[str, tuple[str, str, str, str]] = {
    "auth.user": ("m", "m", "m", NO_ROLE),
    "auth.group": ("m", NO_ROLE, NO_ROLE, NO_ROLE),
    "heygen_portal.invitation": ("m", "m", "m", NO_ROLE),
    "heygen_portal.apikey": ("m", "m", NO_ROLE, NO_ROLE),
    "heygen_portal.auditentry": ("am", NO_ROLE, NO_ROLE, NO_ROLE),
    "heygen_portal.organisation": ("m", NO_ROLE, "m", NO_ROLE),
    "heygen_portal.webhook": ("m", "m", "m", "m"),
    "heygen_portal.webhookdelivery": ("m", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatars.provideraccount": ("m", "m", "m", NO_ROLE),
    "avatars.modelservice": ("m", "m", "m", NO_ROLE),
    "avatars.httptool": ("m", "m", "m", NO_ROLE),
    "avatars.avatar": (STAFF, NO_ROLE, NO_ROLE, NO_ROLE),
    "avatars.voice": (STAFF, NO_ROLE, NO_ROLE, NO_ROLE),
    "avatars.knowledgebase": (STAFF, "em", "em", NO_ROLE),
    "avatars.library": (STAFF, "em", "em", NO_ROLE),
    "avatars.persona": (STAFF, "em", "em", "em"),
    "avatars.video": (STAFF, "em", NO_ROLE, NO_ROLE),
    "avatar_sessions.streamingsession": ("oam", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatar_sessions.sessiontotal": ("oam", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatar_sessions.queueentry": ("om", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatar_sessions.export": ("am", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatar_sessions.historycheck": ("am", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatar_sessions.incident": ("om", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatar_sessions.staffmessage": ("om", NO_ROLE, NO_ROLE, NO_ROLE),
    "avatar_sessions.legalhold": ("am", "am", NO_ROLE, NO_ROLE),
    "avatar_sessions.erasure": ("am", "m", NO_ROLE, NO_ROLE),
    "avatar_sessions.quota": ("m", "m", "m", "m"),
}

# What is done to the rows that were chosen in a list.
ACTIONS: dict[str, str] = {
    "heygen_portal.invitation.revoke": "m",
    "heygen_portal.webhook.delete_selected": "m",
    "heygen_portal.webhookdelivery.resend": "m",
    "avatars.provideraccount.sync": "m",
    "avatars.knowledgebase.export_files": STAFF,
    "avatars.persona.publish": "em",
    "avatars.persona.unpublish": "em",
    "avatar_sessions.streamingsession.stop": "om",
    "avatar_sessions.queueentry.remove": "om",
    "avatar_sessions.legalhold.release": "am",
    "avatar_sessions.quota.delete_selected": "m",
}

# The buttons on one row's page; each is an address of its own.
BUTTONS: dict[str, str] = {
    "auth.user.remove_second_factor": "m",
    "auth.user.personal_data": "m",
    "auth.user.close_account": "m",
    "heygen_portal.invitation.revoke_one": "m",
    "heygen_portal.apikey.replace": "m",
    "heygen_portal.apikey.revoke_one": "m",
    "heygen_portal.webhook.send_test": "m",
    "heygen_portal.webhook.resend_failed": "m",
    "heygen_portal.webhook.replace_secret": "m",
    "heygen_portal.webhook.end_former_secret": NO_ROLE,  # there is none
    "heygen_portal.webhook.pause": "m",
    "heygen_portal.webhook.resume": NO_ROLE,  # it is not paused
    "heygen_portal.webhookdelivery.resend_one": "m",
    "avatars.provideraccount.try_connection": "m",
    "avatars.provideraccount.catalogue": "m",
    "avatars.provideraccount.migrate": "m",
    "avatars.provideraccount.past": "m",
    "avatars.modelservice.try_connection": "m",
    "avatars.httptool.try_it": "m",
    "avatars.knowledgebase.versions": STAFF,
    "avatars.knowledgebase.import_files": "em",
    "avatars.knowledgebase.remove": "em",
    "avatars.library.documents": STAFF,
    "avatars.persona.publish_one": "em",
    "avatars.persona.unpublish_one": "em",
    "avatars.persona.try_it": "em",
    "avatars.persona.versions": STAFF,
    "avatars.persona.embed": "em",
    "avatars.persona.tests": STAFF,
    "avatars.video.order_again": "em",
    "avatars.video.check_again": "em",
    "avatar_sessions.streamingsession.audit": "oam",
    "avatar_sessions.streamingsession.ask_provider": "oam",
    "avatar_sessions.streamingsession.observe": "om",
    "avatar_sessions.streamingsession.export": "am",
    "avatar_sessions.staffmessage.change_state": "om",
}


@dataclass(frozen=True)
class Message:
    """A message that a page may send.

    `content` makes a permitted message receive an answer, usually an error about invalid content.
    """

    who: str
    content: dict[str, Any] = field(default_factory=dict)


def room_messages(who: str) -> tuple[str, dict[str, Message]]:
    """Return the messages of the room page."""
    content: dict[str, dict[str, Any]] = {
        "session.start": {"quality": 5},
        "session.stay": {},
        "session.stop": {},
        "queue.leave": {},
        "room.prepare": {},
        "room.rejoin": {},
        "task.send": {"text": 5},
        "task.interrupt": {},
        "person.ask": {},
        "message.leave": {"contact": 5},
        "room.published": {"id": "1"},
        "event.report": {},
        "session.join": {"session_id": "own"},  # last: from then on the tab has a session
    }
    return who, {kind: Message(who, sent) for kind, sent in content.items()}


# By the socket's route: who is let in, and who may say what.
SOCKETS: dict[str, tuple[str, dict[str, Message]]] = {
    "ws/personas/<slug:persona>/": room_messages(MAY_TALK),
    "ws/personas/<slug:persona>/trial/": room_messages("em"),
    "ws/embed/<slug:public_id>/": room_messages("g"),
    "ws/board/": (
        "oam",
        {
            "board.stop": Message("om", {"sessions": "all", "reason": "To try it"}),
            "board.remove": Message("om", {"place": 1}),
        },
    ),
}
# Messages that are not answered where they are not refused.
UNANSWERED_MESSAGES = {"room.prepare", "board.remove"}
