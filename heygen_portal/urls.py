"""URLs of the portal."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from heygen_portal.people.views import set_language


@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Report that this process serves requests. Checks no other service."""
    return JsonResponse({"status": "ok"})


urlpatterns = [
    path("health", health, name="health"),
    path("accounts/", include("heygen_portal.people.urls")),
    path("language/", set_language, name="set_language"),
    path("admin/", admin.site.urls),
    path("", include("avatars.urls")),
    path("", include("sessions.urls")),
]
