"""Does an answer meet an expectation?"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions.brain.answering import Outcome
from sessions.persona_tests.script import Expectation, Kind

# Python's regular expressions may take forever, so each runs in a process of its own that is ended in time.
PATTERN_SECONDS = 5
_SEARCH = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
pattern, text = json.load(sys.stdin)
sys.exit(0 if re.search(pattern, text, re.IGNORECASE) else 3)
"""
_FOUND, _NOT_FOUND = 0, 3


@dataclass(frozen=True)
class Call:
    """A tool that the model called."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Heard:
    """An answer as a user would have heard it, with what stands behind it."""

    text: str
    outcome: Outcome
    reason: str = ""
    cited: Sequence[str] = ()  # titles of documents
    calls: Sequence[Call] = ()


# Judges a text by a rubric, and returns why it does not pass, or "".
Judge = Callable[[str, Heard], Awaitable[str]]
NOT_MET = "not_met"
BAD_PATTERN, SLOW_PATTERN = "bad_pattern", "slow_pattern"
NOT_READABLE = "not_readable"  # of stored tests that SQL has damaged


async def problem(expectation: Expectation, heard: Heard, judge: Judge) -> str:
    """Return why an answer does not meet an expectation: a code, or the judge's words. "" if it does."""
    value = expectation.value
    match expectation.kind:
        case Kind.REFUSED:
            return "" if (heard.outcome in (Outcome.REFUSED, Outcome.WITHHELD)) == value else NOT_MET
        case Kind.CONTAINS:
            return "" if _has(heard.text, str(value)) else NOT_MET
        case Kind.LACKS:
            return NOT_MET if _has(heard.text, str(value)) else ""
        case Kind.CITES:
            return "" if any(_has(title, str(value)) for title in heard.cited) else NOT_MET
        case Kind.CALLS:
            return "" if any(_is_call(call, expectation) for call in heard.calls) else NOT_MET
        case Kind.MATCHES:
            return await _match_problem(str(value), heard.text)
    return await judge(str(value), heard)


def _has(text: str, part: str) -> bool:
    """Compare without case and with any white space, as people read."""
    return " ".join(part.split()).casefold() in " ".join(text.split()).casefold()


def _is_call(call: Call, expectation: Expectation) -> bool:
    expected = expectation.arguments.items()
    return call.name == expectation.value and all(
        name in call.arguments and str(call.arguments[name]).casefold() == str(value).casefold()
        for name, value in expected
    )


async def _match_problem(pattern: str, text: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        _SEARCH,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        async with asyncio.timeout(PATTERN_SECONDS):
            await process.communicate(json.dumps([pattern, text]).encode())
    except TimeoutError:
        return SLOW_PATTERN
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode in (_FOUND, _NOT_FOUND):
        return "" if process.returncode == _FOUND else NOT_MET
    is_stopped = process.returncode is None or process.returncode < 0
    return SLOW_PATTERN if is_stopped else BAD_PATTERN
