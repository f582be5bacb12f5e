"""The interface uses the terms of docs/glossary.md, in English and in Spanish."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import polib
import pytest
from django.conf import settings

GLOSSARY = Path(settings.BASE_DIR) / "docs" / "glossary.md"
SPANISH = Path(settings.LOCALE_PATHS[0]) / "es" / "LC_MESSAGES" / "django.po"


def plain(text: str) -> str:
    """Return text in lower case without accents."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


def words(term: str) -> re.Pattern[str]:
    """Match the term as whole words, each also in its plural."""
    return re.compile(r"\b" + r"\s+".join(re.escape(word) + r"(?:e?s)?" for word in plain(term).split()) + r"\b")


def section(title: str) -> str:
    return GLOSSARY.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def terms() -> list[tuple[str, list[str]]]:
    rows = [line.strip("| ").split(" | ") for line in section("Terms").splitlines() if line.startswith("| ")]
    return [(english, spanish.split(", ")) for english, spanish, _ in rows[2:]]


def never(language: str) -> list[str]:
    found = re.search(rf"^- {language}: (.*)$", section("Never used"), re.MULTILINE)
    assert found
    return found[1].split(", ")


@pytest.fixture(scope="module")
def messages() -> list[tuple[str, str]]:
    """Return pairs of English and Spanish messages.

    Plural forms are joined; placeholders and tags are removed.
    """
    pairs = []
    for entry in polib.pofile(str(SPANISH)):
        english = f"{entry.msgid} {entry.msgid_plural or ''}"
        spanish = entry.msgstr or " ".join(entry.msgstr_plural.values())
        pairs.append((re.sub(r"%\(\w+\)\w|\{\w*\}|</?\w+[^>]*>", "", english), spanish))
    return pairs


@pytest.mark.parametrize(("english", "spanish"), terms(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_term_has_the_same_spanish_everywhere(
    english: str, spanish: list[str], messages: list[tuple[str, str]]
) -> None:
    using = [(text, translation) for text, translation in messages if words(english).search(plain(text))]
    assert using, "the glossary lists a term that the interface does not use"
    variants = [words(variant) for variant in spanish]
    assert [
        (text, translation) for text, translation in using if not any(v.search(plain(translation)) for v in variants)
    ] == []


def test_terms_of_earlier_versions_are_gone(messages: list[tuple[str, str]]) -> None:
    for number, language in enumerate(("English", "Spanish")):
        for term in never(language):
            assert [pair[number] for pair in messages if words(term).search(plain(pair[number]))] == [], term


def test_the_glossary_is_sorted() -> None:
    listed = [english for english, _ in terms()]
    assert listed == sorted(listed)
