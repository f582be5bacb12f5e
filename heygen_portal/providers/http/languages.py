"""Language codes of voices. Catalogues give an English name or a locale."""

from __future__ import annotations

import re

CODE_BY_NAME = {
    "arabic": "ar",
    "bulgarian": "bg",
    "catalan": "ca",
    "chinese": "zh",
    "croatian": "hr",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "malay": "ms",
    "norwegian": "no",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "slovak": "sk",
    "spanish": "es",
    "swedish": "sv",
    "tamil": "ta",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "vietnamese": "vi",
}
MULTILINGUAL = ("", "multilingual", "multi", "unknown")


def language_code(name: str) -> str:
    """Return the two-letter code of a language.

    Return "" for multilingual voices and the name itself for an unknown language.
    """
    name = name.strip().lower()
    if name in MULTILINGUAL:
        return ""
    if re.match(r"[a-z]{2}([-_]|$)", name):
        return name[:2]
    word = re.split(r"[\s(,]", name, maxsplit=1)[0]
    return CODE_BY_NAME.get(word, name[:20])
