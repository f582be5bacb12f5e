"""Binary frames of the chat socket: protobuf messages of the package `pipecat`.

Decoded by hand, as three small messages need no code generator. Unknown fields are skipped, as protobuf requires.
"""

from dataclasses import dataclass
from typing import Final

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES: Final = 10


class InvalidFrame(ValueError):
    """The message is not the expected protobuf."""


@dataclass(frozen=True)
class TextFrame:
    text: str


@dataclass(frozen=True)
class AudioFrame:
    """Signed 16-bit little-endian samples."""

    audio: bytes
    sample_rate: int
    channels: int


def decode(message: bytes) -> TextFrame | AudioFrame | None:
    """Return the text or audio in a Frame, None for other kinds. Raises InvalidFrame."""
    frame: TextFrame | AudioFrame | None = None
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            inner = dict(_fields(value))
            frame = TextFrame(_text(inner.get(3)))
        elif number == 2:
            inner = dict(_fields(value))
            frame = AudioFrame(_bytes(inner.get(3)), _int(inner.get(4)), _int(inner.get(5)))
        else:
            frame = None  # the last field of a oneof counts
    return frame


def encode_text(text: str) -> bytes:
    """Return a Frame with a TextFrame, as the SDK sends it."""
    inner = _with_length(3, text.encode())
    return _with_length(1, inner)


def encode_audio(audio: bytes, sample_rate: int = 16_000, channels: int = 1) -> bytes:
    """Return a Frame with an AudioRawFrame, as the SDK sends it."""
    inner = _with_length(3, audio) + _varint(4 << 3) + _varint(sample_rate) + _varint(5 << 3) + _varint(channels)
    return _with_length(2, inner)


def _text(value: int | bytes | None) -> str:
    try:
        return _bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidFrame("a text that is not UTF-8") from None


def _bytes(value: int | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _int(value: int | bytes | None) -> int:
    return value if isinstance(value, int) else 0


def _fields(message: bytes) -> list[tuple[int, int | bytes]]:
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _read_varint(message, at)
            found.append((number, value))
            continue
        if kind == BYTES:
            length, at = _read_varint(message, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise InvalidFrame(f"wire type {kind}")
        if at + length > len(message):
            raise InvalidFrame("the message ends too early")
        if kind == BYTES:
            found.append((number, message[at : at + length]))
        at += length
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise InvalidFrame("a number that does not end")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _with_length(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value
