"""Requests for recorded videos and their status. Part of the provider contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True)
class VideoRequest:
    """Options of a new video.

    `reference` is unique to each order, so that an order can be found again if the response was lost.
    """

    avatar_id: str
    voice_id: str
    text: str = field(repr=False)
    title: str
    reference: str


class VideoState(StrEnum):
    MAKING = "making"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class VideoStatus:
    """Status of a video. `url` is temporary; `detail` explains a failure."""

    state: VideoState
    detail: str = ""
    duration: timedelta | None = None
    # Cost, if the provider reports it.
    credits: Decimal | None = None
    url: str = field(default="", repr=False)
