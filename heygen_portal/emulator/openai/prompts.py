"""Parts of a prompt: numbered passages of documents, and the language of the answer."""

import re
from dataclasses import dataclass
from html import unescape
from typing import Final

_PASSAGE: Final = re.compile(r"<passage\b([^>]*)>(.*?)</passage>", re.DOTALL)
_ATTRIBUTE: Final = re.compile(r'(\w+)="([^"]*)"')
_LANGUAGE: Final = re.compile(r"<language>\s*([\w-]+)\s*</language>")
_RUBRIC: Final = re.compile(r"<rubric>(.*?)</rubric>", re.DOTALL)
_DEFAULT_LANGUAGE: Final = "en"


@dataclass(frozen=True)
class Passage:
    number: str
    title: str
    text: str


def has_passages(system: str) -> bool:
    """Return whether the prompt says what is known, even if that is nothing."""
    return "<passages>" in system


def passages(system: str) -> list[Passage]:
    found = []
    for attributes, text in _PASSAGE.findall(system):
        named = dict(_ATTRIBUTE.findall(attributes))
        found.append(Passage(named.get("number", ""), unescape(named.get("title", "")), unescape(text).strip()))
    return found


def language(system: str) -> str:
    match = _LANGUAGE.search(system)
    return match[1] if match else _DEFAULT_LANGUAGE


def rubric(system: str) -> str:
    """Return by what an answer is to be judged, or ""."""
    match = _RUBRIC.search(system)
    return unescape(match[1]).strip() if match else ""
