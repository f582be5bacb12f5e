"""What the emulated model replies. The same request always gets the same reply.

In this order: a verdict, if the prompt has a rubric; a tool that the user asks for; the result of a tool that was just
called; sentences of the prompt's passages, each with its number; the sentence that says that there is no answer.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from heygen_portal.emulator.openai import obedience, prompts, reading, schemas
from heygen_portal.emulator.openai.requests import OBEDIENT, Call, ChatRequest, Tool
from heygen_portal.emulator.speech import answers

_TOOL_LINE: Final = re.compile(r"^\s*tool:\s*([\w.-]+)\s*(\{.*\})?\s*$", re.IGNORECASE | re.MULTILINE)
_MIN_SHARED_WORDS: Final = 2  # of a question and a tool's description
_NO_ANSWER: Final = "[0]"


@dataclass(frozen=True)
class Reply:
    text: str
    calls: tuple[Call, ...] = ()


def reply(request: ChatRequest) -> Reply:
    if request.model == OBEDIENT and (obeyed := obedience.obey(request)):
        return Reply(obeyed.text, obeyed.calls)
    if rubric := prompts.rubric(request.system):
        return Reply(_verdict(rubric, request.question))
    if calls := _calls(request):
        return Reply("", calls)
    results = [message.content for message in request.turn if message.role == "tool"]
    text = " ".join(map(_told, results)) if results else _answer(request)
    if not request.is_json:
        return Reply(text)
    value = schemas.fill(request.schema, text) if request.schema else {"answer": text}
    return Reply(json.dumps(value, ensure_ascii=False))


def _answer(request: ChatRequest) -> str:
    question, system = request.question, request.system
    language = prompts.language(system)
    if not prompts.has_passages(system):
        return answers.answer(question, knowledge=system, opening="", language=language)
    if answers.is_greeting(question):
        return answers.hello(language)
    found = reading.answer(question, prompts.passages(system))
    cited = [f"{_ended(sentence.text)} [{sentence.number}]" for sentence in found]
    return " ".join(cited) or f"{_NO_ANSWER} {answers.unknown(language)}"


def _verdict(rubric: str, answer: str) -> str:
    """Judge by words: an answer passes if it has most of the rubric's."""
    wanted = answers.stems(rubric)
    missing = sorted(wanted - answers.stems(answer))
    if 2 * len(missing) < len(wanted):
        return "PASS"
    return f"FAIL: the answer does not mention {', '.join(missing)}."


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def _told(result: str) -> str:
    """Return a tool's result in words."""
    try:
        value = json.loads(result)
    except (ValueError, RecursionError):
        return _ended(result.strip() or "–")
    if isinstance(value, dict):
        return _ended(", ".join(f"{name.replace('_', ' ')}: {_plain(item)}" for name, item in value.items()))
    return _ended(_plain(value))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _calls(request: ChatRequest) -> tuple[Call, ...]:
    """Return the calls that the user asks for, unless a tool was called for these words already."""
    if not request.tools or request.required_tool == "none" or any(message.calls for message in request.turn):
        return ()
    by_name = {tool.name: tool for tool in request.tools}
    typed = [Call(name, arguments or "{}") for name, arguments in _TOOL_LINE.findall(request.question)]
    if chosen := tuple(call for call in typed if call.name in by_name):
        return chosen
    asked = answers.stems(request.question)
    tool = next((tool for tool in request.tools if _is_asked_for(tool, asked)), None)
    if request.required_tool != "auto":
        tool = by_name.get(request.required_tool, tool or request.tools[0])
    if tool is None:
        return ()
    arguments = schemas.fill({"type": "object"} | dict(tool.parameters), request.question)
    return (Call(tool.name, json.dumps(arguments, ensure_ascii=False)),)


def _is_asked_for(tool: Tool, asked: frozenset[str]) -> bool:
    """Return whether the words name the tool, or are about what it describes."""
    name = answers.stems(tool.name.replace("_", " "))
    about = (name | answers.stems(tool.description)) & asked
    return bool(name and name <= asked) or (len(about) >= _MIN_SHARED_WORDS and 2 * len(about) >= len(asked))
