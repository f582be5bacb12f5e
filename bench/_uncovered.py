"""Branches that the daily tests need not take, each with the reason.

`bin/bench coverage` prints them apart from the others, and names entries that are not needed any more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Uncovered:
    """Branches that begin at one line.

    `function` is its qualified name in the file; `line` is the text of the line without its indentation.
    """

    path: str
    function: str
    line: str
    reason: str


UNCOVERED: tuple[Uncovered, ...] = ()
