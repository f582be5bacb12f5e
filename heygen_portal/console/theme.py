"""Settings of the admin theme: colours and the menu."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.timezone import get_current_timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.permissions import Permission


def _entry(
    title: Any, icon: str, app_label: str, model: str, page: str = "changelist", permission: str = ""
) -> dict[str, Any]:
    def may_view(request: HttpRequest) -> bool:
        return request.user.has_perm(permission or f"{app_label}.view_{model}")

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app_label}_{model}_{page}"),
        "permission": may_view,
    }


def name_as_in_menu(app_list: list[dict[str, Any]]) -> None:
    """Give the models of the start page the names that their lists have in the menu."""
    sidebar: Any = UNFOLD["SIDEBAR"]
    titles = {str(item["link"]): item["title"] for section in sidebar["navigation"] for item in section["items"]}
    for app in app_list:
        for model in app["models"]:
            model["name"] = titles.get(model["admin_url"], model["name"])
        app["models"].sort(key=lambda model: str(model["name"]).casefold())


def zone_of_times(request: HttpRequest) -> str:
    """Return which zone the moments on the page are in."""
    return gettext("Times in %(zone)s") % {"zone": str(get_current_timezone()).replace("_", " ")}


UNFOLD = {
    # Beside every list and form, because nearly all of them show moments.
    "SITE_SUBHEADER": "heygen_portal.console.theme.zone_of_times",
    "SITE_SYMBOL": "forum",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("portal/favicon.svg")},
    ],
    "SCRIPTS": [lambda request: static("portal/time-zone.js"), lambda request: static("portal/text-limits.js")],
    "STYLES": [lambda request: static("portal/admin.css")],
    "DASHBOARD_CALLBACK": "sessions.staff.dashboard.context",
    "SHOW_HISTORY": True,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            "50": "#eef6f8",
            "100": "#dcebee",
            "200": "#b9d8de",
            "300": "#a3e0ee",
            "400": "#7bd0e4",
            "500": "#2b8ca5",
            "600": "#0b5b70",
            "700": "#084757",
            "800": "#0a3b48",
            "900": "#0b313c",
            "950": "#04222b",
        },
    },
    "SIDEBAR": {
        "navigation": [
            {
                "title": _("Conversations"),
                "items": [
                    _entry(_("Live"), "sensors", "avatar_sessions", "streamingsession", "live")
                    | {"badge": "sessions.staff.dashboard.open_now", "badge_variant": "primary"},
                    _entry(_("Sessions"), "forum", "avatar_sessions", "streamingsession"),
                    _entry(_("Messages to the team"), "inbox", "avatar_sessions", "staffmessage")
                    | {"badge": "sessions.admin.messages.badge", "badge_variant": "primary"},
                    _entry(_("Costs"), "payments", "avatar_sessions", "sessiontotal", "costs"),
                    _entry(
                        _("Queue"), "hourglass_top", "avatar_sessions", "queueentry", permission=Permission.VIEW_QUEUE
                    ),
                    _entry(_("Exports"), "download", "avatar_sessions", "export"),
                    _entry(_("Erasures"), "ink_eraser", "avatar_sessions", "erasure"),
                    _entry(_("Legal holds"), "gavel", "avatar_sessions", "legalhold"),
                    _entry(_("Integrity checks"), "verified", "avatar_sessions", "historycheck")
                    | {"badge": "sessions.admin.record.badge", "badge_variant": "danger"},
                    _entry(_("Incidents"), "notification_important", "avatar_sessions", "incident")
                    | {"badge": "sessions.admin.incidents.badge", "badge_variant": "danger"},
                ],
            },
            {
                "title": _("Catalogue"),
                "items": [
                    _entry(_("Personas"), "person_play", "avatars", "persona")
                    | {"badge": "avatars.personas.admin.badge", "badge_variant": "danger"},
                    _entry(_("Recorded videos"), "movie", "avatars", "video"),
                    _entry(_("Avatars"), "face", "avatars", "avatar"),
                    _entry(_("Voices"), "record_voice_over", "avatars", "voice"),
                    _entry(_("Knowledge bases"), "menu_book", "avatars", "knowledgebase"),
                    _entry(_("Libraries"), "library_books", "avatars", "library"),
                    _entry(_("Provider accounts"), "key", "avatars", "provideraccount"),
                    _entry(_("Model services"), "neurology", "avatars", "modelservice"),
                    _entry(_("Tools"), "build", "avatars", "httptool"),
                    _entry(_("Setup checklist"), "checklist", "avatars", "provideraccount", "setup_checklist"),
                ],
            },
            {
                "title": _("Users and access"),
                "items": [
                    _entry(_("Users"), "group", "auth", "user"),
                    _entry(_("Invitations"), "mail", "heygen_portal", "invitation"),
                    _entry(_("Roles"), "badge", "auth", "group"),
                    _entry(_("Quotas"), "speed", "avatar_sessions", "quota", permission=Permission.VIEW_QUOTA),
                    _entry(_("API keys"), "vpn_key", "heygen_portal", "apikey"),
                    _entry(_("Audit log"), "policy", "heygen_portal", "auditentry"),
                    _entry(_("Organisation"), "domain", "heygen_portal", "organisation"),
                    _entry(_("Webhooks"), "webhook", "heygen_portal", "webhook")
                    | {"badge": "heygen_portal.webhooks.admin.badge", "badge_variant": "danger"},
                ],
            },
        ],
    },
}
