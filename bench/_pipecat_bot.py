"""A Pipecat bot with HeyGen's video service, as in its documentation.

Runs in a separate environment.

Sends a tone of two seconds to the avatar and counts what returns until the tone has ended.
"""

# mypy: ignore-errors
# Pipecat is not in the environment that types are checked in.

import asyncio
import json
import math
import struct
import sys
from array import array
from typing import Any, Final

import aiohttp
from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.heygen.api_interactive_avatar import AvatarQuality, HeyGenApi, NewSessionRequest
from pipecat.services.heygen.client import ServiceType
from pipecat.services.heygen.video import HeyGenVideoService
from pipecat.workers.runner import WorkerRunner

SAMPLE_RATE: Final = 24_000
TONE_S: Final = 2.0
LOUD_LEVEL: Final = 500
WAIT_TIMEOUT_S: Final = 60.0


class Watcher(FrameProcessor):
    """Takes the transport's place and records the video and audio it would play."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self.size: Any = None
        self.loudest = 0
        self.seen = asyncio.Event()
        self.silent_again = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputImageRawFrame):
            self.frames += 1
            self.size = frame.size
            if self.frames >= 25:
                self.seen.set()
        elif isinstance(frame, OutputAudioRawFrame):
            level = max(map(abs, array("h", frame.audio)), default=0)
            if self.loudest > LOUD_LEVEL and level < LOUD_LEVEL:
                self.silent_again.set()
            self.loudest = max(self.loudest, level)
        await self.push_frame(frame, direction)

    async def ready(self) -> None:
        await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)


async def main(url: str, api_key: str, avatar_id: str) -> None:
    errors: list[str] = []
    logger.remove()
    logger.add(lambda message: errors.append(str(message)), level="ERROR")
    HeyGenApi.BASE_URL = f"{url}/v1"  # the class has no other way to be told
    async with aiohttp.ClientSession() as http:
        request = NewSessionRequest(avatar_id=avatar_id, quality=AvatarQuality.low, version="v2")
        service = HeyGenVideoService(
            api_key=api_key, session=http, session_request=request, service_type=ServiceType.INTERACTIVE_AVATAR
        )
        watcher = Watcher()
        worker = PipelineWorker(Pipeline([service, watcher]), enable_rtvi=False)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        running = asyncio.create_task(runner.run())
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await talk(worker, watcher)
        except TimeoutError:
            errors.append("nothing was seen or heard in time")
        await worker.queue_frame(EndFrame())
        await running
    seen = {"pictures": watcher.frames, "size": watcher.size, "loudest": watcher.loudest, "errors": errors}
    sys.stdout.write(json.dumps(seen) + "\n")


async def talk(worker: PipelineWorker, watcher: Watcher) -> None:
    while not watcher.seen.is_set():  # before the pipeline has started, the ready frame is lost
        await watcher.ready()
        await asyncio.sleep(0.1)
    wave = [round(8000 * math.sin(2 * math.pi * 440 * n / SAMPLE_RATE)) for n in range(int(SAMPLE_RATE * TONE_S))]
    tone = struct.pack(f"<{len(wave)}h", *wave)
    await worker.queue_frames([TTSStartedFrame(), TTSAudioRawFrame(tone, SAMPLE_RATE, 1), TTSStoppedFrame()])
    await watcher.silent_again.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
