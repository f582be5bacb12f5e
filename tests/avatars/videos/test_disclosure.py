"""The mark that a recorded video was made by AI, in its file."""

from __future__ import annotations

import io
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from django.conf import settings

from avatars.videos import disclosure
from avatars.videos.disclosure import NotAnMp4


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


FTYP, MDAT = box(b"ftyp", b"isom\0\0\0\0"), box(b"mdat", b"film")
OPEN_MDAT = b"\0\0\0\0mdatfilm"
LARGE_MDAT = b"\0\0\0\x01mdat" + (20).to_bytes(8) + b"film"


def marked(content: bytes) -> bytes:
    file = io.BytesIO(content)
    disclosure.mark(file)
    return file.getvalue()


def real_film(folder: Path, **options: str) -> bytes:
    """Return a small film, as an encoder writes it."""
    file = folder / "film.mp4"  # for streaming, the encoder reads its own file again
    with av.open(str(file), "w", format="mp4", options=options) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 10)
        for shade in (0, 120, 240):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.read_bytes()


def shades(film: bytes) -> list[int]:
    with av.open(io.BytesIO(film), "r") as container:
        return [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in container.decode(video=0)]


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}], ids=str)
def test_a_marked_film_says_so_in_every_language_and_plays_as_before(tmp_path: Path, options: dict[str, str]) -> None:
    film = real_film(tmp_path, **options)
    with_mark = marked(film)
    assert with_mark[: len(film)] == film
    assert shades(with_mark) == shades(film)
    xmp = with_mark[len(film) :].decode("utf-8", "replace")
    assert f'Iptc4xmpExt:DigitalSourceType="{disclosure.DIGITAL_SOURCE_TYPE}"' in xmp
    said = dict(re.findall(r'xml:lang="([\w-]+)">([^<]+)<', xmp))
    assert said.keys() == {"x-default", *(code for code, _ in settings.LANGUAGES)}
    assert said["x-default"] == said["es"] == "Este vídeo muestra un avatar de IA. Su cara y su voz son generadas."
    assert said["en"] == "This video shows an AI avatar. Its face and voice are generated."
    assert marked(with_mark) == with_mark


def test_a_last_box_without_a_size_gets_one() -> None:
    assert marked(FTYP + OPEN_MDAT).startswith(FTYP + MDAT + marked(FTYP)[len(FTYP) :][:4])
    assert marked(FTYP + LARGE_MDAT).startswith(FTYP + LARGE_MDAT)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html></html>", MDAT, FTYP[:-1], FTYP + MDAT[:-1], FTYP + b"\0\0\0\x04mdat", FTYP + b"\0\0\0", b"\0" * 40],
    ids=range(8),
)
def test_what_is_no_complete_mp4_is_refused(content: bytes) -> None:
    with pytest.raises(NotAnMp4):
        marked(content)
