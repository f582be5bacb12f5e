"""The Spanish translation is complete. English is the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.utils.translation.template import templatize

PYTHON = ("avatars", "sessions", "heygen_portal")
MARKERS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
SPANISH = Path(settings.LOCALE_PATHS[0]) / "es" / "LC_MESSAGES" / "django.po"


def phrases_of(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKERS:
            phrase = node.args[0]
            if isinstance(phrase, ast.Constant) and isinstance(phrase.value, str):
                yield phrase.value


def phrases_of_template(source: str) -> Iterator[str]:
    for call in re.findall(r"""\b(?:n?gettext|_)\((?:u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")""", templatize(source)):
        yield ast.literal_eval(call.partition("(")[2])


def all_phrases() -> set[str]:
    found: set[str] = set()
    for folder in PYTHON:
        for path in (settings.BASE_DIR / folder).rglob("*.py"):
            if "emulator" not in path.parts:
                found.update(phrases_of(path.read_text()))
    templates = settings.BASE_DIR / "templates"
    for path in (*templates.rglob("*.html"), *templates.rglob("*.txt")):
        found.update(phrases_of_template(path.read_text()))
    return found


@pytest.fixture(scope="module")
def spanish() -> dict[str, polib.POEntry]:
    return {entry.msgid: entry for entry in polib.pofile(str(SPANISH)) if not entry.obsolete}


def test_every_string_has_a_spanish_translation(spanish: dict[str, polib.POEntry]) -> None:
    phrases = all_phrases()
    assert len(phrases) > 200  # the search itself works
    assert [phrase for phrase in sorted(phrases) if phrase not in spanish or not spanish[phrase].translated()] == []


def test_strings_in_tag_arguments_are_found() -> None:
    assert list(
        phrases_of_template("""{% include "a.html" with head=_("Day") foot=_('Sum') %}{{ x|default:_("None") }}""")
    ) == [
        "Day",
        "Sum",
        "None",
    ]


def test_no_translation_is_fuzzy_or_lacks_a_placeholder(spanish: dict[str, polib.POEntry]) -> None:
    for entry in spanish.values():
        assert not entry.fuzzy, entry.msgid
        for translation in [entry.msgstr] if entry.msgstr else entry.msgstr_plural.values():
            assert sorted(re.findall(r"%\(\w+\)", translation)) == sorted(re.findall(r"%\(\w+\)", entry.msgid)), (
                entry.msgid
            )


def test_every_plural_has_all_spanish_forms(spanish: dict[str, polib.POEntry]) -> None:
    """Spanish plural forms: one, millions, and all other numbers."""
    counted = [entry for entry in spanish.values() if entry.msgid_plural]
    assert [entry.msgid for entry in counted if set(entry.msgstr_plural) != {0, 1, 2}] == []
