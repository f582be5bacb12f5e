"""The custom element that sites load, with its texts in every language of the pages."""

from __future__ import annotations

import json
from functools import lru_cache

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

SOURCE = settings.BASE_DIR / "sessions" / "static" / "sessions" / "embed" / "avatar-chat.js"
# What the texts replace in the source.
NO_TEXTS = "const TEXTS = {};"


# The colour of the bubble, unless the site or the portal's brand has another one.
ACCENT = "#0b6b82"
# So many brands that replace each other are kept.
BRANDS = 4


@lru_cache(BRANDS)
def script(accent: str) -> str:
    """Return the element's whole script, with a bubble in the brand's colour if it has one."""
    texts = {}
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            texts[code] = _texts()
    found = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    source = SOURCE.read_text(encoding="utf-8").replace(ACCENT, accent or ACCENT)
    return source.replace(NO_TEXTS, f"const TEXTS = {found};")


def _texts() -> dict[str, str]:
    return {
        "ask": gettext("Ask"),
        "open": gettext("Open the conversation"),
        "close": gettext("Close the conversation"),
        "minimise": gettext("Minimise"),
        "frame": gettext("Conversation with an AI avatar"),
        "blocked": gettext(
            "The portal’s frame does not load. Add “frame-src {portal}” to this page’s Content-Security-Policy, and "
            "check that the persona’s ID is right and {portal} can be reached."
        ),
    }
