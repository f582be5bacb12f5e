"""The interface uses the terms of docs/glossary.md, in every language."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

import polib
import pytest
from django.conf import settings

GLOSSARY = Path(settings.BASE_DIR) / "docs" / "glossary.md"
LOCALE = Path(settings.BASE_DIR) / "locale"
# The columns after the English one.
LANGUAGES = ("es", "pt", "fr", "de", "it")


@cache
def plain(text: str) -> str:
    """Return text in lower case without accents."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


def words(term: str) -> re.Pattern[str]:
    """Match the term as whole words, each also in its plural."""
    return re.compile(r"\b" + r"\s+".join(re.escape(word) + r"(?:e?s)?" for word in plain(term).split()) + r"\b")


def form(language: str, term: str) -> re.Pattern[str]:
    """Match a form of a term as the glossary gives it for a language."""
    return words(term) if language == "es" else re.compile(re.escape(plain(term)))


def section(title: str) -> str:
    return GLOSSARY.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def terms() -> list[tuple[str, dict[str, list[str]]]]:
    """Return the English terms, and their forms by language."""
    rows = [line.strip("| ").split(" | ") for line in section("Terms").splitlines() if line.startswith("| ")]
    assert rows[0] == ["English", "Spanish", "Portuguese", "French", "German", "Italian", "Meaning"]
    return [
        (english, {code: forms.split(", ") for code, forms in zip(LANGUAGES, translated, strict=True)})
        for english, *translated, _ in rows[2:]
    ]


def never(language: str) -> list[str]:
    found = re.search(rf"^- {language}: (.*)$", section("Never used"), re.MULTILINE)
    assert found
    return found[1].split(", ")


@cache
def messages(language: str) -> list[tuple[str, str]]:
    """Return pairs of English and translated messages.

    Plural forms are joined; placeholders, tags and code are removed.
    """
    pairs = []
    for entry in polib.pofile(str(LOCALE / language / "LC_MESSAGES" / "django.po")):
        english = f"{entry.msgid} {entry.msgid_plural or ''}"
        translated = entry.msgstr or " ".join(entry.msgstr_plural.values())
        pairs.append((re.sub(r"<code>.*?</code>|%\(\w+\)\w|\{\w*\}|</?\w+[^>]*>", "", english), translated))
    return pairs


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_term_has_the_same_translation_everywhere(language: str) -> None:
    wrong = []
    for english, forms in terms():
        term, variants = words(english), [form(language, variant) for variant in forms[language]]
        using = [(text, translated) for text, translated in messages(language) if term.search(plain(text))]
        assert using, f"the glossary lists a term that the interface does not use: {english}"
        wrong += [
            (english, text, translated)
            for text, translated in using
            if not any(variant.search(plain(translated)) for variant in variants)
        ]
    assert wrong == []


def test_terms_of_earlier_versions_are_gone() -> None:
    for number, language in enumerate(("English", "Spanish")):
        for term in never(language):
            assert [pair[number] for pair in messages("es") if words(term).search(plain(pair[number]))] == [], term


def test_the_glossary_is_sorted() -> None:
    listed = [english for english, _ in terms()]
    assert listed == sorted(listed)
