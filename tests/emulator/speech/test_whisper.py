"""faster-whisper as the emulator calls it.

Models are too large for tests, so a stand-in reports its arguments.

Models are too large for tests: a stand-in tells what it was asked.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from heygen_portal.emulator.speech import recognition_engines

STAND_IN = """
from types import SimpleNamespace

class WhisperModel:
    def __init__(self, model_size_or_path, device="auto", compute_type="default"):
        self.model = model_size_or_path

    def transcribe(self, audio, language=None, beam_size=5):
        heard = f"{self.model} {language} {audio.dtype} {len(audio)} {audio.max():.2f}"
        return (SimpleNamespace(text=text) for text in (f" {heard}", " Adiós.")), SimpleNamespace(language=language)
"""


async def test_with_a_model_faster_whisper_recognizes_every_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faster_whisper.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)  # where it is looked for,
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # and where the engine's own process finds it
    monkeypatch.setenv(recognition_engines.MODEL_VARIABLE, "small")
    engine = recognition_engines.engine_for("es")
    assert engine
    try:
        half = (16_384).to_bytes(2, "little") * 1600
        assert await engine.recognize(half) == "small es float32 1600 0.50 Adiós."
    finally:
        await engine.close()
