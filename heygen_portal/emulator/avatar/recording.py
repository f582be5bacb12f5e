"""Rendering of recorded videos: an MP4 with H.264 and AAC."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np

from heygen_portal.emulator.face import sprites
from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech.mouth_shapes import SHUT, MouthTrack
from heygen_portal.emulator.speech.synthesis import SAMPLE_RATE, Speech, speak

FPS: Final = 25
_BLINK_INTERVAL_FRAMES: Final = 4 * FPS
_BLINK_LIDS: Final = {0: "half", 1: "shut", 2: "shut", 3: "half"}  # by frame since the blink began
_SAMPLES_PER_FRAME: Final = SAMPLE_RATE // FPS


@dataclass(frozen=True)
class Scene:
    """An avatar with a text to speak, or a pause of `silence_s` seconds."""

    look: str
    voice: Voice
    text: str = ""
    silence_s: float = 0.0

    def speech(self) -> Speech:
        if self.text:
            return speak(self.text, self.voice)
        return Speech(bytes(round(self.silence_s * SAMPLE_RATE) * 2), (), ())


def render(scenes: list[Scene], size: tuple[int, int], path: Path, max_seconds: float) -> float:
    """Write the video and return its length in seconds.

    Raises VideoTooLong before rendering. Takes about a tenth of the video's length; call it in a thread.
    """
    speeches = [(scene, scene.speech()) for scene in scenes]
    if sum(speech.seconds for _, speech in speeches) > max_seconds:
        raise VideoTooLong
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as output:
        video = output.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "24"})
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        sound = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        shown = 0
        for scene, speech in speeches:
            for picture, samples in _frames(scene, speech, size):
                picture.pts, picture.time_base = shown, Fraction(1, FPS)
                samples.pts, samples.time_base = shown * _SAMPLES_PER_FRAME, Fraction(1, SAMPLE_RATE)
                output.mux(video.encode(picture))
                output.mux(sound.encode(samples))
                shown += 1
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    return shown / FPS


class VideoTooLong(Exception):
    """The speech exceeds the account's limit."""


def _frames(scene: Scene, speech: Speech, size: tuple[int, int]) -> Iterator[tuple[av.VideoFrame, av.AudioFrame]]:
    """Yield video frames with their audio."""
    sheet = sprites.sheet(scene.look, "high" if max(size) > sprites.SIZES["medium"][0] else "medium")
    picture = sprites.Picture(sheet)
    mouth = MouthTrack()
    mouth.add(0.0, list(speech.shapes))
    samples = np.frombuffer(speech.pcm, np.int16)
    for index in range(max(1, -(-len(samples) // _SAMPLES_PER_FRAME))):
        shape = mouth.at(index / FPS) if speech.shapes else SHUT
        picture.show(sprites.SWAY_POSITIONS // 2, shape, _BLINK_LIDS.get(index % _BLINK_INTERVAL_FRAMES, "open"))
        part = np.zeros(_SAMPLES_PER_FRAME, np.int16)
        heard = samples[index * _SAMPLES_PER_FRAME : (index + 1) * _SAMPLES_PER_FRAME]
        part[: len(heard)] = heard
        sound = av.AudioFrame.from_ndarray(part.reshape(1, -1), format="s16", layout="mono")
        sound.sample_rate = SAMPLE_RATE
        yield _cropped(picture, sheet, size), sound


def _cropped(picture: sprites.Picture, sheet: sprites.SpriteSheet, size: tuple[int, int]) -> av.VideoFrame:
    """Crop the middle of the picture to the chosen aspect ratio and scale it."""
    width = min(sheet.width, sheet.height * size[0] // size[1]) // 2 * 2
    height = min(sheet.height, sheet.width * size[1] // size[0]) // 2 * 2
    left, top = (sheet.width - width) // 4 * 2, (sheet.height - height) // 4 * 2
    cut = []
    share = 1
    for plane in sprites.planes(np.frombuffer(picture.data, np.uint8), sheet.width, sheet.height):
        cut.append(plane[top // share : (top + height) // share, left // share : (left + width) // share].ravel())
        share = 2
    flat = np.concatenate(cut).reshape(height * 3 // 2, width)
    return av.VideoFrame.from_ndarray(flat, format="yuv420p").reformat(*size)
