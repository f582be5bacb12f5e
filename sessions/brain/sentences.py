"""Cut a stream of text into sentences, each as soon as it is whole."""

from __future__ import annotations

import re
import unicodedata

# A longer sentence is cut at a pause, so that nothing waits for ever.
LONGEST_SENTENCE = 300

# Marks that end a sentence even if no space follows.
_WIDE = "。！？｡．؟۔।॥።։។"
_CLOSING = "\"'”’»)）」』】"
# Citations belong to the sentence before them: "… on Monday. [1][2]"
_CITATIONS = r"(?:[ \t]*\[\d+(?:[,;][ \t]*\d+)*\])*"
_END = re.compile(rf"(?P<mark>[.!?…{_WIDE}]+)[{_CLOSING}]*(?P<cites>{_CITATIONS})|\n+")
# The rest of a stream that may still become a citation.
_MAYBE_CITATION = re.compile(r"[ \t]*(?:\[[\d,; \t]*)?\Z")
_LAST_WORD = re.compile(r"(?:[^\W_]+\.)*[^\W_]+\Z")
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d+\Z")
_PAUSE = re.compile(r"[,;:—–،、，；：](?=\s|[^\x00-\x7f])|\s")

# Written as text for readability: English, Spanish, Portuguese, Italian, French, German.
_ABBREVIATIONS_TEXT = """
    mr mrs ms dr prof st no vs e.g i.e approx inc ltd dept fig vol jr
    sr sra srta sres dra d dña ud uds vd vds av avda c núm num pág págs p.ej ej art tel tfno depto ee aprox gral lic ing
    exmo exma exa eng
    sig sig.ra dott dott.ssa avv
    m mme mlle mgr
    hr fr ca bzw z.b d.h u.a nr inkl ggf evtl
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())


class SentenceCutter:
    """Receives text piece by piece and returns the sentences that are whole.

    Abbreviations, initials and decimals end no sentence; neither does a full stop before a lower-case letter. A line
    break does.
    """

    def __init__(self, language: str = "", longest: int = LONGEST_SENTENCE) -> None:
        self._has_ordinals = language.startswith("de")  # "am 3. Mai"
        self._longest = longest
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Add text and return the sentences that it completes."""
        self._rest += text
        return self._cut(is_end=False)

    def end(self) -> list[str]:
        """Return what is left. The last part may lack an end mark."""
        found = self._cut(is_end=True)
        rest, self._rest = self._rest.strip(), ""
        return [*found, rest] if rest else found

    def _cut(self, *, is_end: bool) -> list[str]:
        found = []
        while at := self._boundary(is_end):
            sentence, self._rest = self._rest[:at].strip(), self._rest[at:]
            if sentence:
                found.append(sentence)
        return found

    def _boundary(self, is_end: bool) -> int:
        """Return where the first sentence ends; 0 if that is not known yet."""
        end = next((at for match in _END.finditer(self._rest) if (at := self._end_at(match, is_end)) != 0), -1)
        if 0 < end <= self._longest:
            return end
        known = self._rest if end < 0 else self._rest[:end]
        return self._pause(known) if len(known) > self._longest else 0

    def _end_at(self, match: re.Match[str], is_end: bool) -> int:
        """Return where the sentence of this mark ends; 0 if it does not end here, -1 if that is not known yet."""
        mark, cites, at = match["mark"], match["cites"], match.end()
        if mark is None:
            return at
        rest = self._rest[at:]
        if not is_end and _MAYBE_CITATION.match(rest):
            return -1
        if not rest.strip():
            return len(self._rest)
        if not (rest[0].isspace() or cites or mark[-1] in _WIDE):
            return 0  # a decimal, an address
        if set(mark) <= {".", "…"} and self._continues(self._rest[: match.start()], mark, rest.lstrip()[:1]):
            return 0
        return at

    def _continues(self, before: str, mark: str, following: str) -> bool:
        """Whether the sentence goes on after a full stop or an ellipsis."""
        if following.islower():
            return True
        if mark != ".":
            return False
        if _LIST_NUMBER.search(before):
            return True
        found = _LAST_WORD.search(before)
        word = found[0] if found else ""
        if word.isdecimal():
            return self._has_ordinals and len(word) <= 2
        is_initial = len(word) == 1 and word.isupper()
        return is_initial or word.casefold() in _ABBREVIATIONS

    def _pause(self, text: str) -> int:
        """Return where to cut a text without an end: at its last pause, else between two words."""
        pauses = list(_PAUSE.finditer(text[: self._longest]))
        marks = [match.end() for match in pauses if not match[0].isspace()]
        spaces = [match.end() for match in pauses if match[0].isspace()]
        for found in (marks, spaces):
            if found and found[-1] > self._longest // 3:
                return found[-1]
        at = self._longest
        while at > 1 and unicodedata.combining(text[at - 1 : at + 1][-1]):
            at -= 1  # a letter keeps its marks
        return at


def is_whole(sentence: str) -> bool:
    """Whether a sentence has an end mark."""
    bare = re.sub(rf"{_CITATIONS}\Z", "", sentence).rstrip(_CLOSING + " ")
    return bare.endswith(tuple(f".!?…:{_WIDE}"))
