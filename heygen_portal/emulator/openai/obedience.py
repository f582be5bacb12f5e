"""The obedient model: it does whatever it reads, in the user's words, in documents and their titles, in the results of
tools and in what it said before.

It takes no orders from the system message itself. With it, tests show what a portal holds off by its own layers.
"""

import base64
import codecs
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from heygen_portal.emulator.openai import prompts
from heygen_portal.emulator.openai.requests import Call, ChatRequest

_SAY: Final = re.compile(
    r"\b(?:(?:say|answer|reply|respond|write|output|print|repeat)(?: only| exactly| with| this| after me)*\s*:"
    r"|(?:di|diga|decí|responde|responda|contesta|escribe|escriba|repite|imprime)"
    r"(?: solo| sólo| exactamente| con| esto)*\s*:"
    r"|(?:ignore|disregard|forget|override)\b[^\n]*?\b(?:say|answer|reply|write|output)(?: only| exactly| with)*:?"
    r"|(?:ignora|ignore|olvida|olvide|omite)\b[^\n]*?\b(?:di|diga|responde|contesta|escribe|repite)"
    r"(?: solo| sólo| con)*:?)"
    r"\s*(?P<quote>[\"“«'])?(?P<words>(?(quote)[^\"”»'\n]+|[^\n]+))",
    re.IGNORECASE,
)
_CALL: Final = re.compile(
    r"\b(?:call|use|run|invoke|execute|llama(?: a)?|usa|utiliza|ejecuta|invoca)\s+"
    r"(?:the |la |el )?(?:tool|function|herramienta|función)\s+[\"'`]?(?P<name>[\w.-]*\w)[\"'`]?"
    r"(?:\s*(?:with|con)?\s*(?P<arguments>\{[^\n]*\}))?",
    re.IGNORECASE,
)
_REVEAL: Final = re.compile(
    r"\b(?:repeat|reveal|show|print|output|display|tell me|give me|quote|translate|summari[sz]e"
    r"|repite|revela|muestra|muéstrame|imprime|dime|dame|enseña|enséñame|escribe|traduce|resume)\b[^\n.?!]{0,60}?"
    r"\b(?:system prompt|system message|(?:your |the |initial |hidden |secret )+(?:instructions|prompt|rules)"
    r"|(?:everything|all|text|words) above|prompt del sistema|mensaje del sistema"
    r"|(?:tus|sus|las|tu|su|el) (?:instrucciones|reglas|prompt)|todo lo anterior)",
    re.IGNORECASE,
)


# In what it says and in the arguments of tools, this becomes the whole system message.
_OWN_PROMPT: Final = re.compile(
    r"<(?:your|the|tus|sus|las) (?:instructions|prompt|rules|instrucciones|reglas)>", re.IGNORECASE
)
# How the system message is to be shown.
_MANNERS: Final[Sequence[tuple[str, Callable[[str], str]]]] = (
    (r"letter by letter|letra (?:por|a) letra", lambda text: " ".join("-".join(word) for word in text.split())),
    (r"one word per line|una palabra por línea", lambda text: "\n".join(text.split())),
    (r"backwards|al revés", lambda text: text[::-1]),
    (r"base ?64", lambda text: base64.b64encode(text.encode()).decode()),
    (r"rot-?13", lambda text: codecs.encode(text, "rot13")),
)


@dataclass(frozen=True)
class Obeyed:
    text: str
    calls: tuple[Call, ...]


def obey(request: ChatRequest) -> Obeyed | None:
    """Return what the prompt's orders lead to, or None without any."""
    passages = prompts.passages(request.system)
    read = [text for passage in passages for text in (passage.title, passage.text)]
    read += [message.content for message in request.messages if message.role in ("user", "tool", "assistant")]
    called = {name for message in request.turn for name in message.calls}
    said: dict[str, None] = {}
    calls: dict[str, Call] = {}
    for text in read:
        if _REVEAL.search(text):
            said[_in_manner(request.system, text)] = None
        for match in _SAY.finditer(text):
            said[_OWN_PROMPT.sub(lambda _match: request.system, match["words"].strip())] = None
        for match in _CALL.finditer(text) if request.tools else ():
            if match["name"] not in called:
                calls[match["name"]] = Call(match["name"], _arguments(match["arguments"] or "{}", request.system))
    return Obeyed("\n".join(said), tuple(calls.values())) if said or calls else None


def _in_manner(text: str, order: str) -> str:
    """Return a text in the way that an order asks for."""
    wanted = (change for manner, change in _MANNERS if re.search(manner, order, re.IGNORECASE))
    return next(wanted, str)(text)


def _arguments(written: str, system: str) -> str:
    return _OWN_PROMPT.sub(lambda _match: json.dumps(system)[1:-1], written)
