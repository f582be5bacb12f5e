"""URLs of the portal."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, include, path, re_path
from django.views.generic import RedirectView

from heygen_portal.people.views import set_language


@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Report that this process serves requests. Checks no other service."""
    return JsonResponse({"status": "ok"})


def moved(old: str, new: str) -> URLPattern:
    """Redirect bookmarks of an admin page and its subpages to the new address."""
    view = RedirectView.as_view(url=f"/admin/{new}%(rest)s", query_string=True)
    return re_path(rf"^admin/{old}(?P<rest>.*)$", view, name=f"moved-to-{new}")


urlpatterns = [
    path("health", health, name="health"),
    path("", include("heygen_portal.branding.urls")),
    path("accounts/", include("heygen_portal.people.urls")),
    path("language/", set_language, name="set_language"),
    moved("avatars/provideraccount/first-hour/", "avatars/provideraccount/setup-checklist/"),
    moved("avatar_sessions/allowance/", "avatar_sessions/quota/"),
    moved("avatar_sessions/queueplace/", "avatar_sessions/queueentry/"),
    moved("avatar_sessions/streamingsession/said/", "avatar_sessions/streamingsession/search/"),
    path("api/v1/", include("heygen_portal.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("avatars.urls")),
    path("", include("sessions.urls")),
]

handler500 = "heygen_portal.runtime.refusals.server_error"
