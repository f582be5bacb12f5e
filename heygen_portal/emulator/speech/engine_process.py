"""Child process of a recognition engine.

Reads length and samples, writes a line of JSON.

Started as `python -m heygen_portal.emulator.speech.engine_process ENGINE LANGUAGE`; ends when its input ends.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Recogniser = Callable[[bytes], str]


def pocketsphinx(language: str) -> Recogniser:
    from pocketsphinx import Decoder  # each process loads only its own engine

    decoder = Decoder(loglevel="FATAL")

    def recognise(pcm: bytes) -> str:
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    return recognise


def whisper(language: str) -> Recogniser:
    import numpy as np
    from faster_whisper import WhisperModel

    model = WhisperModel(os.environ["EMULATOR_WHISPER_MODEL"], device="cpu", compute_type="int8")

    def recognise(pcm: bytes) -> str:
        sound = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
        segments, _ = model.transcribe(sound, language=language, beam_size=1)
        return " ".join(segment.text.strip() for segment in segments)

    return recognise


ENGINES: dict[str, Callable[[str], Any]] = {"pocketsphinx": pocketsphinx, "whisper": whisper}


def main() -> None:
    _, name, language = sys.argv
    recognise = ENGINES[name](language)
    while length := sys.stdin.buffer.read(4):
        text = recognise(sys.stdin.buffer.read(int.from_bytes(length, "big")))
        sys.stdout.write(json.dumps({"text": text}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
