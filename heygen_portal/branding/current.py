"""The brand in use.

Each process keeps it for some seconds, so that pages need no query for it. A change takes effect at once in the process
that stores it, and within `LIFETIME_S` in all others.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import Error
from django.urls import reverse
from django.utils.http import urlencode

from heygen_portal.branding import colours
from heygen_portal.runtime.text import bidi, catalogues

logger = logging.getLogger(__name__)

PRODUCT_NAME = "HeyGen Portal"
LIFETIME_S = 5.0
SHA256 = re.compile(r"[0-9a-f]{64}")
COLUMNS = (
    "name", "portal_name", "logo", "icon", "accent", "accent_dark", "mail_name", "mail_address", "languages",
    "default_persona_id", "privacy_url", "terms_url", "imprint_url",
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    sha256: str
    width: int
    height: int

    @property
    def url(self) -> str:
        return reverse("brand_picture", args=[self.sha256])

    @property
    def is_wordmark(self) -> bool:
        """Whether a logo is so wide that it contains the name."""
        return self.width > 2 * self.height


@dataclass(frozen=True)
class Brand:
    """What the organisation has chosen. Without a choice, everything is the portal's own."""

    organisation: str = ""
    own_name: str = ""
    logo: Picture | None = None
    icon: Picture | None = None
    own_accent: str = ""
    own_accent_dark: str = ""
    mail_name: str = ""
    mail_address: str = ""
    offered: tuple[str, ...] = ()
    default_persona_id: int | None = None
    own_privacy_url: str = ""
    terms_url: str = ""
    imprint_url: str = ""

    @property
    def name(self) -> str:
        return self.own_name or PRODUCT_NAME

    def titled(self, text: str) -> str:
        """Return the title of a text file, which begins with the name that the organisation has chosen."""
        return f"{bidi.isolated(self.own_name)} · {text}" if self.own_name else text

    @property
    def has_manifest(self) -> bool:
        """Whether a browser that keeps the portal as an app is told what to call it and what it looks like."""
        return bool(self.own_name or self.icon)

    @property
    def privacy_url(self) -> str:
        return self.own_privacy_url or settings.PRIVACY_NOTICE_URL

    @property
    def accent(self) -> str:
        return self.own_accent or colours.DEFAULT_ACCENT

    @property
    def accent_dark(self) -> str:
        return self.own_accent_dark or colours.for_dark_surfaces(self.accent)

    @cached_property
    def stylesheet(self) -> str:
        """Return the style sheet of the colours; empty if the organisation has chosen none."""
        if not (self.own_accent or self.own_accent_dark):
            return ""
        return colours.stylesheet(colours.light_accent(self.accent), colours.dark_accent(self.accent_dark))

    @cached_property
    def stylesheet_version(self) -> str:
        return hashlib.sha256(self.stylesheet.encode()).hexdigest()[:12]

    @property
    def stylesheet_url(self) -> str:
        """Return the address of the style sheet, which changes with its content; empty without one."""
        return f"{reverse('brand_stylesheet')}?{urlencode({'v': self.stylesheet_version})}" if self.stylesheet else ""

    @cached_property
    def admin_palette(self) -> dict[str, str]:
        """Return the shades of the admin's theme; none if the organisation has chosen no colour."""
        return colours.admin_palette(self.accent, self.accent_dark) if self.stylesheet else {}

    @property
    def languages(self) -> list[tuple[str, Any]]:
        """Return code and name of the languages that pages offer."""
        chosen = [(code, name) for code, name in settings.LANGUAGES if code in self.offered]
        return chosen or list(settings.LANGUAGES)

    @property
    def language_codes(self) -> list[str]:
        return [code for code, _name in self.languages]

    @property
    def default_language(self) -> str:
        """Return the language for readers of whom none is known."""
        return catalogues.nearest([], self.language_codes)


_brand = Brand()
_read_again_at = 0.0


def current() -> Brand:
    """Return the brand, which is read from the database if the known one is too old.

    Without the database, the last one that was read.
    """
    global _brand, _read_again_at
    if time.monotonic() >= _read_again_at:
        try:
            _brand = _read()
        except Error as exc:
            logger.warning("the brand could not be read: %s", type(exc).__name__)
        _read_again_at = time.monotonic() + LIFETIME_S
    return _brand


def known() -> Brand:
    """Return the brand that was read last, without a query: for code that must not wait."""
    return _brand


def forget() -> None:
    """Let this process read the brand again when it is needed next."""
    global _read_again_at
    _read_again_at = 0.0


def _read() -> Brand:
    from heygen_portal.models import Organisation  # the server imports this module before Django is set up

    row = Organisation.objects.order_by("pk").values(*COLUMNS).first()
    if row is None:
        return Brand()
    pictures = _pictures(str(row["logo"]), str(row["icon"]))
    return Brand(
        organisation=_one_line(row["name"]),
        own_name=_one_line(row["portal_name"]),
        logo=pictures.get(str(row["logo"])),
        icon=pictures.get(str(row["icon"])),
        own_accent=_colour(row["accent"]),
        own_accent_dark=_colour(row["accent_dark"]),
        mail_name=_one_line(row["mail_name"]),
        mail_address=_one_line(row["mail_address"]),
        offered=tuple(code for code in row["languages"] if isinstance(code, str)),
        default_persona_id=row["default_persona_id"],
        own_privacy_url=row["privacy_url"],
        terms_url=row["terms_url"],
        imprint_url=row["imprint_url"],
    )


def _pictures(*names: str) -> dict[str, Picture]:
    from heygen_portal.models import BrandPicture

    chosen = [name for name in names if SHA256.fullmatch(name)]
    if not chosen:
        return {}
    rows = BrandPicture.objects.filter(pk__in=chosen).values_list("sha256", "width", "height")
    return {row[0]: Picture(*row) for row in rows}


# SQL may have changed a column into anything, which must end neither a rule of the style sheet nor a header of a mail.


def _colour(stored: Any) -> str:
    return str(stored) if colours.HEX.fullmatch(str(stored)) else ""


def _one_line(stored: Any) -> str:
    return " ".join(str(stored).split())
