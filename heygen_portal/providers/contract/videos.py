"""What a provider is asked for a recorded video, and what it tells of one. Part of the contract in `base`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True)
class VideoRequest:
    """What a video is to be. `reference` is ours, another one for each order: by it a lost answer is found again."""

    avatar_id: str
    voice_id: str
    text: str = field(repr=False)
    title: str
    reference: str


class VideoState(StrEnum):
    """How far the provider is."""

    MAKING = "making"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class VideoStatus:
    """What the provider says of a video. `url` is where the file is for now; `detail` is why it failed."""

    state: VideoState
    detail: str = ""
    duration: timedelta | None = None
    credits: Decimal | None = None
    """What it cost, where the provider says so."""
    url: str = field(default="", repr=False)
