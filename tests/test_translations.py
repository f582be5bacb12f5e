"""The translations are whole and fit their source, which is English."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polib
import pytest
from django.conf import settings
from django.utils.translation import trans_real
from django.utils.translation.template import templatize

PYTHON = ("avatars", "sessions", "heygen_portal")
# The position of the text among the arguments.
MARKERS = dict.fromkeys(
    ("_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"), 0
) | dict.fromkeys(("pgettext", "pgettext_lazy", "npgettext", "npgettext_lazy"), 1)
TEXT = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
LOCALE, LOCALE_THEME = settings.BASE_DIR / "locale", settings.BASE_DIR / "locale_theme"
LANGUAGES = sorted(path.name for path in LOCALE.iterdir())
PLACEHOLDER = re.compile(r"%\(\w+\)[.\d]*[a-z]|%[.\d]*[a-z]|\{\w*\}")
TAG = re.compile(r"</?[a-z][^>]*>")
# Forms of a counted text, and numbers that take each of them.
PLURALS = {
    "de": [{1}, {0, 2, 5}],
    "es": [{1}, {1_000_000}, {0, 2, 5, 100}],
    "fr": [{0, 1}, {2, 5}],
    "it": [{1}, {0, 2, 5}],
    "pt": [{1}, {0, 2, 5}],
}


def phrases_of(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKERS:
            phrase = node.args[MARKERS[node.func.id]]
            if isinstance(phrase, ast.Constant) and isinstance(phrase.value, str):
                yield phrase.value


def phrases_of_template(source: str) -> Iterator[str]:
    for text in re.findall(rf"\b(?:(?:n?gettext|_)\(|n?pgettext\({TEXT}, *)({TEXT})", templatize(source)):
        yield ast.literal_eval(text)


@cache
def all_phrases() -> frozenset[str]:
    found: set[str] = set()
    for folder in PYTHON:
        for path in (settings.BASE_DIR / folder).rglob("*.py"):
            if "emulator" not in path.parts:
                found.update(phrases_of(path.read_text()))
    templates = settings.BASE_DIR / "templates"
    for path in (*templates.rglob("*.html"), *templates.rglob("*.txt")):
        found.update(phrases_of_template(path.read_text()))
    return frozenset(found)


def entries_of(path: Path) -> list[polib.POEntry]:
    """Return the entries of a catalogue. polib refuses one that has a text twice."""
    return list(polib.pofile(str(path), check_for_duplicates=True))


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def catalogue(language: str) -> list[polib.POEntry]:
    return entries_of(LOCALE / language / "LC_MESSAGES" / "django.po")


@pytest.fixture(scope="module")
def theme(language: str) -> list[polib.POEntry]:
    return entries_of(LOCALE_THEME / language / "LC_MESSAGES" / "django.po")


def translations(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_strings_are_found_wherever_they_are_marked() -> None:
    assert list(
        phrases_of_template(
            """{% include "a.html" with head=_("Day") foot=_('Sum') %}{{ x|default:_("None") }}"""
            """{% translate "All" context "languages" %}{% translate 'It’s' %}"""
        )
    ) == ["Day", "Sum", "None", "All", "It’s"]
    assert list(phrases_of('_("Day"), pgettext_lazy("of users", "none"), ngettext("%d day", "%d days", n)')) == [
        "Day",
        "none",
        "%d day",
    ]
    assert len(all_phrases()) > 2_000


def test_every_string_is_translated(catalogue: list[polib.POEntry]) -> None:
    translated = {entry.msgid for entry in catalogue if entry.translated()}
    assert sorted(all_phrases() - translated) == []


def test_no_translation_is_obsolete_or_fuzzy(catalogue: list[polib.POEntry], theme: list[polib.POEntry]) -> None:
    assert [entry.msgid for entry in catalogue if entry.msgid not in all_phrases()] == []
    assert [entry.msgid for entry in (*catalogue, *theme) if entry.obsolete or entry.fuzzy] == []


def test_a_translation_has_the_placeholders_and_tags_of_its_source(
    catalogue: list[polib.POEntry], theme: list[polib.POEntry]
) -> None:
    """The text for one thing may leave out its number."""
    for entry in (*catalogue, *theme):
        sources = [entry.msgid, entry.msgid_plural] if entry.msgid_plural else [entry.msgid]
        for text in filter(None, translations(entry)):
            for pattern in (PLACEHOLDER, TAG):
                assert sorted(pattern.findall(text)) in [sorted(pattern.findall(source)) for source in sources], text


def test_a_translation_begins_and_ends_with_the_spaces_of_its_source(catalogue: list[polib.POEntry]) -> None:
    """Else words run into what is put before or after them."""

    def ends(text: str) -> tuple[bool, bool]:
        return text[:1].isspace(), text[-1:].isspace()

    assert [
        text for entry in catalogue for text in filter(None, translations(entry)) if ends(text) != ends(entry.msgid)
    ] == []


def test_every_plural_has_all_forms_of_its_language(
    language: str, catalogue: list[polib.POEntry], theme: list[polib.POEntry]
) -> None:
    forms = range(len(PLURALS[language]))
    counted = [entry for entry in (*catalogue, *theme) if entry.msgid_plural]
    assert [entry.msgid for entry in counted if set(entry.msgstr_plural) != set(forms)] == []
    for folder in (LOCALE, LOCALE_THEME):
        header = polib.pofile(str(folder / language / "LC_MESSAGES" / "django.po")).metadata["Plural-Forms"]
        form_of = gettext.c2py(header.rpartition("plural=")[2].strip("; "))
        assert [{form_of(number) for number in numbers} for numbers in PLURALS[language]] == [{form} for form in forms]


def test_a_catalogue_is_sorted(catalogue: list[polib.POEntry]) -> None:
    """So that two people who add texts at once rarely touch the same lines."""
    keys = [(entry.msgid, entry.msgctxt or "") for entry in catalogue]
    assert keys == sorted(keys)


def test_what_the_admins_theme_says_is_translated(language: str) -> None:
    """Django and allauth have catalogues of their own; the theme has none. Other texts would be shown in Spanish."""
    known: Any = trans_real.translation(language)
    texts = known._catalog
    spanish = entries_of(LOCALE_THEME / "es" / "LC_MESSAGES" / "django.po")
    assert [entry.msgid for entry in spanish if entry.msgid not in texts and (entry.msgid, 0) not in texts] == []
