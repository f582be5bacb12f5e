"""The portal's own tools. What they change is done by the turn, once the call has succeeded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _

from avatars.models import BuiltInTool, PersonaVersion
from heygen_portal.providers.openai.messages import ToolSpec
from sessions.brain.tools import contact
from sessions.brain.tools.calls import Result, Tool
from sessions.brain.tools.passages import Search

MAX_QUERY_CHARACTERS = 500
# Names and descriptions are read by the model.
DESCRIPTIONS: Mapping[str, str] = {
    BuiltInTool.SEARCH: "Find passages of the documents for a query, if the numbered passages do not suffice.",
    BuiltInTool.END: "End this conversation. Only if the user has said goodbye or asks to hang up; say goodbye first.",
    BuiltInTool.PERSON: "Call a person of the staff, if the user asks to speak with a human being.",
    BuiltInTool.MESSAGE: "Show the user the form for a written note to the staff, answered by mail.",
}
QUERY = {
    "type": "object",
    "properties": {"query": {"type": "string", "minLength": 1, "maxLength": MAX_QUERY_CHARACTERS}},
    "required": ["query"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


def tools_of(version: PersonaVersion, search: Search | None) -> list[Tool]:
    """Return the built-in tools that are switched on. Without documents there is nothing to search."""
    with translation.override(version.language):
        words = {
            BuiltInTool.END: _("The conversation ends now. Goodbye!"),
            BuiltInTool.PERSON: _("The team has been told. You can leave a message in the form on this page."),
            BuiltInTool.MESSAGE: _("You can write your message in the form on this page."),
        }
    if BuiltInTool.PERSON in version.tool_names and not contact.reaches_operators():
        words[BuiltInTool.PERSON] = words[BuiltInTool.MESSAGE]
    found = [_telling(tool, told) for tool, told in words.items() if tool in version.tool_names]
    if search and BuiltInTool.SEARCH in version.tool_names:
        found.append(_searching(search, version.language))
    return found


def _telling(tool: BuiltInTool, words: str) -> Tool:
    async def run(_arguments: Mapping[str, Any]) -> Result:
        return Result(words)

    return Tool(ToolSpec(tool.value, DESCRIPTIONS[tool], NOTHING), run, has_effects=True)


def _searching(search: Search, language: str) -> Tool:
    with translation.override(language):
        nothing = _("The documents have nothing about this.")

    async def run(arguments: Mapping[str, Any]) -> Result:
        passages = await search(arguments["query"])
        return Result("\n".join(passage.text for passage in passages) or nothing, passages)

    return Tool(ToolSpec(BuiltInTool.SEARCH.value, DESCRIPTIONS[BuiltInTool.SEARCH], QUERY), run)
