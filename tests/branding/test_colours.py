"""Colours of a brand: contrast as WCAG defines it, and derived colours that can always be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heygen_portal.branding import colours

BASE_CSS = Path(__file__).parents[2] / "static" / "portal" / "base.css"
COLOUR = re.compile("#[0-9a-f]+")
accents = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#ff0000", "#ffffff", 4.0),
        ("#abcdef", "#abcdef", 1),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert colours.contrast(one, other) == pytest.approx(ratio, abs=0.01)
    assert colours.contrast(other, one) == colours.contrast(one, other)


def test_the_surfaces_are_those_of_the_style_sheet() -> None:
    tokens = dict(re.findall(r"(--[a-z0-9-]+): ([^;]+);", BASE_CSS.read_text()))
    light, dark = zip(*(_pair(tokens[name]) for name in ("--paper", "--surface", "--sunken")), strict=True)
    stage = tuple(tokens[name] for name in ("--stage", "--stage-2", "--stage-3"))
    assert (tuple(colours.LIGHT_SURFACES), tuple(colours.DARK_SURFACES)) == (light, dark + stage)
    assert _pair(tokens["--accent"])[0] == colours.DEFAULT_ACCENT


def _pair(value: str) -> tuple[str, str]:
    light, dark = (each if len(each) == 7 else re.sub("[0-9a-f]", r"\g<0>" * 2, each) for each in COLOUR.findall(value))
    return light, dark


@given(accents)
def test_each_text_can_be_read_on_its_surface(accent: str) -> None:
    assume(colours.lowest_contrast(accent, colours.LIGHT_SURFACES) is None)
    dark = colours.for_dark_surfaces(accent)
    assert colours.lowest_contrast(dark, colours.DARK_SURFACES) is None
    texts = {"light": ("#152126", "#4b585e"), "dark": ("#e9eff0", "#a9b7bc")}
    for theme, found in (("light", colours.light_accent(accent)), ("dark", colours.dark_accent(dark))):
        pairs = [(found.on_accent, found.accent), (found.on_accent, found.hover), (found.ink, found.soft)]
        pairs += [(text, found.soft) for text in texts[theme]]
        assert [pair for pair in pairs if colours.contrast(*pair) < 4.5] == []
    shades = colours.admin_palette(accent, dark)
    assert colours.contrast("#ffffff", shades["600"]) >= 4.5
    assert colours.contrast(shades["500"], colours.DARK_ADMIN_SURFACE) >= 4.5


def test_a_colour_that_cannot_be_read_is_named_with_its_worst_surface() -> None:
    low = colours.lowest_contrast("#7bd0e4", colours.LIGHT_SURFACES)
    assert low is not None
    assert (low.surface, round(low.ratio, 1)) == ("#eceae4", 1.5)
    assert colours.lowest_contrast("#0b5b70", colours.LIGHT_SURFACES) is None


def test_the_style_sheet_has_each_colour_for_both_themes() -> None:
    css = colours.stylesheet(colours.light_accent("#8a1f5c"), colours.dark_accent("#e7a9cc"))
    assert "--accent: #8a1f5c;" in css  # for browsers without light-dark()
    assert "--accent: light-dark(#8a1f5c, #e7a9cc);" in css
    assert "--stage-accent: #e7a9cc;" in css
