from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygen_portal.emulator.heygen.chat_frames import (
    AudioFrame,
    InvalidFrame,
    TextFrame,
    decode,
    encode_audio,
    encode_text,
)


def test_a_text_frame_equals_the_published_sdks_bytes() -> None:
    assert encode_text("hola") == bytes.fromhex("0a061a04686f6c61")
    assert decode(bytes.fromhex("0a061a04686f6c61")) == TextFrame("hola")


@given(st.text())
def test_every_text_survives_encoding(text: str) -> None:
    assert decode(encode_text(text)) == TextFrame(text)


@given(st.binary(max_size=5000), st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_all_audio_survives_encoding(audio: bytes, rate: int, channels: int) -> None:
    assert decode(encode_audio(audio, rate, channels)) == AudioFrame(audio, rate, channels)


def test_unknown_fields_are_skipped() -> None:
    extra = bytes([0x48, 0x96, 0x01, 0x51, *range(8), 0x5D, *range(4), 0x62, 0x02, 0xFF, 0xFF])
    assert decode(extra + encode_text("hola")) == TextFrame("hola")


def test_a_transcription_frame_is_ignored() -> None:
    assert decode(bytes.fromhex("1a061a04686f6c61")) is None


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05abc", b"\xff" * 12, b"\x0b", b"\x0a\x03\x1a\x01\xff"])
def test_an_invalid_frame_is_refused(message: bytes) -> None:
    with pytest.raises(InvalidFrame):
        decode(message)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_invalid_frame(message: bytes) -> None:
    try:
        decode(message)
    except InvalidFrame:
        return
