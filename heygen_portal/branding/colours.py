"""Colours of a brand: their contrast with the portal's surfaces, and what follows from them.

Staff choose one accent colour, and another one for dark surfaces if they like. Hover, soft and text colours are derived
so that every pair of text and surface meets WCAG 2.2, level AA. Colours are "#rrggbb" in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

HEX = re.compile(r"#[0-9a-f]{6}")
# Of text up to 18 pt (WCAG 2.2, 1.4.3).
MIN_CONTRAST = 4.5
DEFAULT_ACCENT = "#0b5b70"
BLACK, WHITE = "#000000", "#ffffff"
# Surfaces of static/portal/base.css on which the accent colour is text.
LIGHT_SURFACES: Mapping[str, Any] = {
    "#f6f5f1": _("the light page"),
    "#ffffff": _("light cards"),
    "#eceae4": _("light recessed areas"),
}
DARK_SURFACES: Mapping[str, Any] = {
    "#0f1517": _("the dark page"),
    "#171f22": _("dark cards"),
    "#1f292d": _("dark recessed areas"),
    "#11191d": _("the area around the avatar"),
    "#1e292e": _("panels beside the avatar"),
    "#2b383e": _("buttons beside the avatar"),
}
LIGHT_CARD, DARK_CARD = "#ffffff", "#171f22"
# The lightest surface of the dark theme of the admin on which its 500 is text.
DARK_ADMIN_SURFACE = "#1e2939"
STEP = 0.03


@dataclass(frozen=True)
class LowContrast:
    """A colour that cannot be read on a surface."""

    colour: str
    surface: str
    surface_name: Any
    ratio: float


@dataclass(frozen=True)
class Accent:
    """An accent colour with those derived from it."""

    accent: str
    hover: str
    on_accent: str
    soft: str
    ink: str


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours as WCAG defines it, from 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lowest_contrast(colour: str, surfaces: Mapping[str, Any]) -> LowContrast | None:
    """Return the surface on which a colour has the lowest contrast, or None if it can be read on all of them."""
    surface = min(surfaces, key=lambda each: contrast(colour, each))
    ratio = contrast(colour, surface)
    return LowContrast(colour, surface, surfaces[surface], ratio) if ratio < MIN_CONTRAST else None


def light_accent(accent: str) -> Accent:
    """Return the colours of the light theme."""
    soft = _mixed(accent, LIGHT_CARD, 0.86)
    return Accent(accent, _mixed(accent, BLACK, 0.22), WHITE, soft, _readable(accent, soft, towards=BLACK))


def dark_accent(accent: str) -> Accent:
    """Return the colours of the dark theme, and of the area around the avatar."""
    soft = _mixed(accent, DARK_CARD, 0.78)
    on_accent = _mixed(accent, BLACK, 0.88)
    return Accent(accent, _mixed(accent, WHITE, 0.3), on_accent, soft, _readable(accent, soft, towards=WHITE))


def for_dark_surfaces(accent: str) -> str:
    """Return the colour nearest to an accent colour that can be read on all dark surfaces."""
    return _readable(accent, *DARK_SURFACES, towards=WHITE)


def admin_palette(accent: str, dark: str) -> dict[str, str]:
    """Return the theme's shades: 600 is the colour of buttons and links, 500 that of links on dark surfaces."""
    towards_white = {"50": 0.94, "100": 0.87, "200": 0.72, "300": 0.5}
    towards_black = {"700": 0.22, "800": 0.38, "900": 0.5, "950": 0.7}
    return {
        **{shade: _mixed(accent, WHITE, share) for shade, share in towards_white.items()},
        "400": dark,
        "500": _readable(accent, DARK_ADMIN_SURFACE, towards=WHITE),
        "600": accent,
        **{shade: _mixed(accent, BLACK, share) for shade, share in towards_black.items()},
    }


def stylesheet(light: Accent, dark: Accent) -> str:
    """Return the custom properties that replace those of base.css."""
    by_day, by_night = _properties(light), _properties(dark)
    stage = {"--stage-accent": dark.accent, "--stage-on-accent": dark.on_accent}
    both = {name: f"light-dark({by_day[name]}, {by_night[name]})" for name in by_day}
    # Without light-dark(), browsers show the light theme.
    return f"{_rule(by_day | stage)}@supports (color: light-dark(#000, #fff)) {{\n{_rule(both)}}}\n"


def _properties(accent: Accent) -> dict[str, str]:
    return {
        "--accent": accent.accent,
        "--accent-hover": accent.hover,
        "--on-accent": accent.on_accent,
        "--accent-soft": accent.soft,
        "--accent-ink": accent.ink,
    }


def _rule(properties: Mapping[str, str]) -> str:
    return f":root {{ {' '.join(f'{name}: {value};' for name, value in properties.items())} }}\n"


def _readable(colour: str, *surfaces: str, towards: str) -> str:
    """Return a colour, or the first one on its way to another that can be read on all surfaces."""
    share = 0.0
    while share < 1:
        mixed = _mixed(colour, towards, share)
        if all(contrast(mixed, surface) >= MIN_CONTRAST for surface in surfaces):
            return mixed
        share += STEP
    return towards


def _mixed(colour: str, other: str, share: float) -> str:
    """Return a colour with this share of another."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
