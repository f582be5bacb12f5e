"""What the templates of pages know of the brand, beside the tag `brand`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from heygen_portal.branding.current import current


def languages(request: HttpRequest) -> dict[str, Any]:
    """Return the languages that pages offer, in place of all languages."""
    return {"LANGUAGES": current().languages}
