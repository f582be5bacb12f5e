"""The obedient model: it does whatever it reads, in the user's words, in documents and in the results of tools.

It takes no orders from the system message itself. With it, tests show what a portal holds off by its own layers.
"""

import re
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
    r"(?:the |la |el )?(?:tool|function|herramienta|función)\s+[\"'`]?(?P<name>[\w.-]+)[\"'`]?"
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


@dataclass(frozen=True)
class Obeyed:
    text: str
    calls: tuple[Call, ...]


def obey(request: ChatRequest) -> Obeyed | None:
    """Return what the prompt's orders lead to, or None without any."""
    read = [passage.text for passage in prompts.passages(request.system)]
    read += [message.content for message in request.messages if message.role in ("user", "tool")]
    called = {name for message in request.turn for name in message.calls}
    said: dict[str, None] = {}
    calls: dict[str, Call] = {}
    for text in read:
        if _REVEAL.search(text):
            said[request.system] = None
        said |= dict.fromkeys(match["words"].strip() for match in _SAY.finditer(text))
        for match in _CALL.finditer(text) if request.tools else ():
            if match["name"] not in called:
                calls[match["name"]] = Call(match["name"], match["arguments"] or "{}")
    return Obeyed("\n".join(said), tuple(calls.values())) if said or calls else None
