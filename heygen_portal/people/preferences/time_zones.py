"""The time zone of a reader, in which pages, exports and mail show moments.

Quotas and totals keep the portal's.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

from heygen_portal.models import PreferredTimeZone

# Set by static/portal/time-zone.js.
COOKIE = "time_zone"
# Key of the login session: the zone that was last stored for its user.
STORED = "time_zone"


@cache
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def parse(name: object) -> ZoneInfo | None:
    """Return the zone of that name in the IANA database, or None.

    A browser may send anything.
    """
    return ZoneInfo(name) if isinstance(name, str) and name in _names() else None


def reported(cookies: Mapping[str, str]) -> tzinfo:
    """Return the zone that a browser reports in its cookies, or the portal's."""
    return parse(cookies.get(COOKIE)) or timezone.get_default_timezone()


def of(user_id: int) -> tzinfo:
    """Return the zone that a user's browser last reported, or the portal's."""
    stored = PreferredTimeZone.objects.filter(user=user_id).values_list("name", flat=True).first()
    return parse(stored) or timezone.get_default_timezone()


def label(zone: tzinfo) -> str:
    """Return the name of a zone as shown to a reader."""
    return str(zone).replace("_", " ")


def portal_label() -> str:
    """Return the name of the zone in which days, months and quotas are counted."""
    return label(timezone.get_default_timezone())


class TimeZoneMiddleware(MiddlewareMixin):
    """Show each page in the zone that the browser reports.

    The zone is stored for the user's exports and mail.
    """

    def process_request(self, request: HttpRequest) -> None:
        zone = parse(request.COOKIES.get(COOKIE))
        if zone and request.user.pk and request.session.get(STORED) != zone.key:
            PreferredTimeZone.objects.update_or_create(user_id=request.user.pk, defaults={"name": zone.key})
            request.session[STORED] = zone.key
        known = zone or parse(request.session.get(STORED))
        timezone.activate(known or timezone.get_default_timezone())

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        timezone.deactivate()
        return response
