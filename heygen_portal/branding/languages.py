"""The language of a page: the one that its reader prefers of those that the organisation offers."""

from __future__ import annotations

from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.translation.trans_real import parse_accept_lang_header

from heygen_portal.branding.current import Brand, current
from heygen_portal.runtime.text import catalogues


class OfferedLanguagesMiddleware(LocaleMiddleware):
    """Django's middleware, without the languages that are not offered."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        brand = current()
        if translation.get_language() not in brand.language_codes:
            language = preferred(brand, request.headers.get("Accept-Language", ""))
            translation.activate(language)
            request.LANGUAGE_CODE = language


def preferred(brand: Brand, accept_language: str) -> str:
    """Return the first language of an Accept-Language header that is offered, or the default."""
    asked = [language for language, _weight in parse_accept_lang_header(accept_language)]
    return catalogues.nearest(asked, brand.language_codes)


def offered_or_default(language: str | None) -> str:
    """Return a language if it is offered, or the default: for mail and other texts without a request."""
    return catalogues.nearest([language], current().language_codes)
