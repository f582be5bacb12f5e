"""LiveKit Agents' OpenAI plugin, as in its documentation, with the emulator's models.

Runs in a separate environment. Prints what it received as JSON.
"""

# mypy: ignore-errors
# LiveKit Agents is not in the environment that types are checked in.

import asyncio
import json
import sys

from livekit.agents import ChatContext, function_tool
from livekit.plugins import openai

SYSTEM = """<passages>
<passage number="1" title="Visit" page="2">The museum opens at ten.</passage>
</passages>"""


@function_tool
async def leave_note(text: str) -> str:
    """Leaves a note."""
    return text


async def main(url: str, api_key: str) -> None:
    model = openai.LLM(model="emulated-chat", base_url=f"{url}/v1", api_key=api_key)
    answer = await ask(model, "When does the museum open?")
    called = await ask(model, 'tool: leave_note {"text": "hello"}')
    await model.aclose()
    print(json.dumps({"answer": answer["text"], "tokens": answer["tokens"], "called": called["called"]}))


async def ask(model: openai.LLM, question: str) -> dict:
    context = ChatContext.empty()
    context.add_message(role="system", content=SYSTEM)
    context.add_message(role="user", content=question)
    text, called, tokens = "", [], 0
    async with model.chat(chat_ctx=context, tools=[leave_note]) as stream:
        async for chunk in stream:
            if chunk.delta:
                text += chunk.delta.content or ""
                called += [f"{call.name} {call.arguments}" for call in chunk.delta.tool_calls]
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
    return {"text": text, "called": called, "tokens": tokens}


asyncio.run(main(*sys.argv[1:]))
