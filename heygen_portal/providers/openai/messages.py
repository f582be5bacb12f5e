"""What is sent to a model, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for. `arguments` is JSON as the model wrote it: it may be invalid."""

    id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True)
class Message:
    """A message of a prompt. A result of a tool names the call in `tool_call_id`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = field(repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True)
class ToolSpec:
    """A tool that the model may call. `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class TextDelta:
    text: str = field(repr=False)


@dataclass(frozen=True)
class Usage:
    """Tokens that were used. They are estimated if the service does not tell."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.is_estimated or other.is_estimated,
        )


@dataclass(frozen=True)
class Finished:
    """The end of a completion: `stop`, `length`, `tool_calls`, `content_filter`, or the service's own word."""

    reason: str
    usage: Usage


ChatDelta = TextDelta | ToolCall | Finished


@dataclass(frozen=True)
class Moderation:
    flagged: bool
    categories: tuple[str, ...]
