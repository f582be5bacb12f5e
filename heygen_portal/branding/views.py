"""What browsers load of the brand, and the page about the portal."""

from __future__ import annotations

import hashlib

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from heygen_portal.branding import current as brands
from heygen_portal.models import BrandPicture

UNCHANGING = "public, max-age=31536000, immutable"
PAPER = "#f6f5f1"  # the background of base.css


@login_not_required
@require_safe
def stylesheet(request: HttpRequest) -> HttpResponse:
    """Send the brand's colours as custom properties."""
    asked = request.GET.get("v")
    if asked != brands.current().stylesheet_version:
        brands.forget()  # another process may know a newer one
    brand = brands.current()
    response = HttpResponse(brand.stylesheet, content_type="text/css; charset=utf-8")
    response["Cache-Control"] = UNCHANGING if asked == brand.stylesheet_version else "no-cache"
    return _if_changed(request, response, f'"{brand.stylesheet_version}"')


@login_not_required
@require_safe
def picture(request: HttpRequest, sha256: str) -> HttpResponse:
    """Send a logo or icon, as long as it is in use. One that SQL changed is not sent."""
    stored = BrandPicture.objects.filter(pk=sha256).values_list("content", flat=True).first()
    content = bytes(stored or b"")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Http404
    response = HttpResponse(content, content_type="image/png", headers={"Cache-Control": UNCHANGING})
    return _if_changed(request, response, f'"{sha256}"')


def _if_changed(request: HttpRequest, response: HttpResponse, etag: str) -> HttpResponse:
    response["ETag"] = etag
    found = get_conditional_response(request, etag=etag, response=response)
    assert isinstance(found, HttpResponse)  # the stubs allow for streamed ones
    return found


@login_not_required
@require_safe
@cache_control(max_age=300)
def manifest(request: HttpRequest) -> HttpResponse:
    """Send what browsers need to keep the portal as an app: its name, icon and colours."""
    brand = brands.current()
    icons = [{"src": brand.icon.url, "type": "image/png", "sizes": "512x512"}] if brand.icon else []
    content = {
        "name": brand.name,
        "short_name": brand.name,
        "start_url": "/",
        "display": "minimal-ui",
        "theme_color": brand.accent,
        "background_color": PAPER,
        "icons": icons,
    }
    return JsonResponse(content, content_type="application/manifest+json")


@require_safe
def about(request: HttpRequest) -> HttpResponse:
    """Show whose portal this is, and on which product it runs."""
    return render(request, "branding/about.html", {"product": brands.PRODUCT_NAME})
