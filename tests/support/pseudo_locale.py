"""Catalogues in made-up words, to see whether pages have room for other languages.

Every text of the portal is replaced: by accented letters and words that are two fifths longer, or by words that run
from right to left. The codes are those of real languages that the portal has no catalogue for, so that Django's own
texts and formats take part.
"""

from __future__ import annotations

import re
from pathlib import Path

import polib

from local.paths import ROOT

LONG, RIGHT_TO_LEFT = "eo", "he"
# Placeholders, tags, entities and escapes stay as they are.
KEPT = re.compile(r"(%\(\w+\)[.\d]*[a-z]|%[.\d]*[a-z%]|\{\w*\}|</?[a-z][^>]*>|&\w+;|\n)")
ACCENTED = str.maketrans(
    "aceginorsuyzACEDGINORSTUYZ",
    "âçéĝïñöŕšûýžÂÇÉĎĜÏÑÖŔŠŤÛÝŽ",
)
HEBREW = "אבגדהוזחטיכלמנסעפצקרשת"
VOWEL = re.compile(r"[aeiou]", re.IGNORECASE)


def long(text: str) -> str:
    """Return the text with accents, and each word longer by its vowels: as long as in German, and longer."""
    return "".join(
        piece if KEPT.fullmatch(piece) else VOWEL.sub(r"\g<0>\g<0>", piece).translate(ACCENTED)
        for piece in KEPT.split(text)
    )


def right_to_left(text: str) -> str:
    """Return the text in Hebrew letters."""
    letter = lambda found: HEBREW[(ord(found[0].lower()) - ord("a")) % len(HEBREW)]  # noqa: E731
    return "".join(
        piece if KEPT.fullmatch(piece) else re.sub(r"[a-z]", letter, piece, flags=re.IGNORECASE)
        for piece in KEPT.split(text)
    )


def write(folder: Path) -> None:
    """Write both catalogues, compiled, as TRANSLATIONS_DIR expects them."""
    entries = [
        entry
        for part in ("locale", "locale_theme")
        for entry in polib.pofile(str(ROOT / part / "es" / "LC_MESSAGES" / "django.po"))
    ]
    for code, change in ((LONG, long), (RIGHT_TO_LEFT, right_to_left)):
        catalogue = polib.POFile()
        catalogue.metadata = {
            "Content-Type": "text/plain; charset=UTF-8",
            "Plural-Forms": "nplurals=2; plural=(n != 1);",
        }
        for entry in entries:
            catalogue.append(
                polib.POEntry(
                    msgid=entry.msgid,
                    msgctxt=entry.msgctxt,
                    msgid_plural=entry.msgid_plural,
                    msgstr="" if entry.msgid_plural else change(entry.msgid),
                    msgstr_plural={0: change(entry.msgid), 1: change(entry.msgid_plural)} if entry.msgid_plural else {},
                )
            )
        path = folder / code / "LC_MESSAGES" / "django.mo"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(catalogue.to_binary())
