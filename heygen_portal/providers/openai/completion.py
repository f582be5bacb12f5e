"""Reading of a streamed completion, chunk by chunk.

Services differ in what they leave out, so nothing but the shape that is used is relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from heygen_portal.providers.contract.model_errors import ModelGarbled
from heygen_portal.providers.openai.messages import Finished, Message, TextDelta, ToolCall, Usage

CHARACTERS_PER_TOKEN = 3  # an estimate that is rather too high than too low
MAX_CALLS = 16
MAX_REASON_CHARACTERS = 40


@dataclass
class _OpenCall:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class Completion:
    """What has come of a completion so far."""

    prompt_characters: int
    reason: str = ""
    usage: Usage | None = None
    _characters: int = 0
    _calls: dict[int, _OpenCall] = field(default_factory=dict)

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Completion:
        return cls(sum(len(message.content) for message in messages))

    @property
    def has_begun(self) -> bool:
        """Return whether a token has come."""
        return bool(self._characters or self._calls)

    @property
    def is_complete(self) -> bool:
        """Return whether nothing more is expected. Some services never tell the usage."""
        return bool(self.reason) and self.usage is not None

    def add(self, chunk: Any) -> list[TextDelta]:
        """Return the text of the next chunk. Raises AttributeError or TypeError if it has another shape."""
        if chunk.usage is not None:
            self.usage = Usage(int(chunk.usage.prompt_tokens), int(chunk.usage.completion_tokens))
        texts = []
        for choice in (chunk.choices or [])[:1]:
            for part in choice.delta.tool_calls or ():
                self._add(part)
            if text := choice.delta.content or choice.delta.refusal:
                self._characters += len(text)
                texts.append(TextDelta(text))
            self.reason = str(choice.finish_reason or self.reason)[:MAX_REASON_CHARACTERS]
        return texts

    def _add(self, part: Any) -> None:
        index = part.index if isinstance(part.index, int) else len(self._calls)
        if index not in self._calls and len(self._calls) >= MAX_CALLS:
            raise ModelGarbled("too many calls of tools")
        call = self._calls.setdefault(index, _OpenCall())
        call.id = call.id or str(part.id or "")
        if part.function is not None:
            call.name += part.function.name or ""
            call.arguments += part.function.arguments or ""
            self._characters += len(part.function.arguments or "")

    def ending(self) -> Iterator[ToolCall | Finished]:
        """Yield the calls, then how it ended. Raises ModelGarbled if it did not end."""
        if not self.reason:
            raise ModelGarbled("the completion was cut")
        for index, call in sorted(self._calls.items()):
            yield ToolCall(call.id or f"call_{index}", call.name, call.arguments or "{}")
        yield Finished(self.reason, self.usage or self._estimate())

    def _estimate(self) -> Usage:
        prompt, completion = self.prompt_characters, self._characters
        return Usage(-(-prompt // CHARACTERS_PER_TOKEN), -(-completion // CHARACTERS_PER_TOKEN), is_estimated=True)
