"""Pictures of a brand: written again, bounded, and never SVG."""

from __future__ import annotations

import gzip
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from heygen_portal.branding import pictures
from heygen_portal.branding.pictures import PictureRefused, Purpose, Refused

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def drawn(size: tuple[int, int], form: str = "PNG", mode: str = "RGBA", **options: Any) -> bytes:
    output = BytesIO()
    Image.new(mode, size, "#8a1f5c").save(output, form, **options)
    return output.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content), formats=("PNG",))


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "CMYK"), ("WEBP", "RGB")])
def test_a_logo_becomes_a_png_that_keeps_its_proportions(form: str, mode: str) -> None:
    found = pictures.render(drawn((1280, 160), form, mode), Purpose.LOGO)
    assert (found.width, found.height) == (640, 80) == opened(found.content).size


@pytest.mark.parametrize("size", [(300, 100), (20, 40), (900, 900)])
def test_an_icon_becomes_square_without_being_cut(size: tuple[int, int]) -> None:
    found = pictures.render(drawn(size), Purpose.ICON)
    icon = opened(found.content)
    assert icon.size == (512, 512)
    left, top, right, bottom = icon.getchannel("A").getbbox() or (0, 0, 0, 0)
    assert max(right - left, bottom - top) == 512
    assert (right - left) / (bottom - top) == pytest.approx(size[0] / size[1], abs=0.01)


def test_nothing_of_the_file_is_kept_but_its_pixels() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "<script>alert(1)</script>")
    found = pictures.render(drawn((64, 64), pnginfo=notes) + b"<script>alert(2)</script>", Purpose.LOGO)
    assert b"alert" not in found.content
    assert opened(found.content).info == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (SVG, Refused.SVG),
        (b'\n <?xml version="1.0"?>' + SVG, Refused.SVG),
        (b"\xef\xbb\xbf" + SVG, Refused.SVG),
        (SVG.decode().encode("utf-16"), Refused.SVG),
        (gzip.compress(SVG), Refused.SVG),
        (b"<html><body onload=alert(1)>", Refused.SVG),
        (b"", Refused.UNREADABLE),
        (b"GIF89a" + bytes(100), Refused.UNREADABLE),
        (drawn((64, 64))[:80], Refused.UNREADABLE),
        (drawn((64, 64), "BMP", "RGB"), Refused.UNREADABLE),
        (drawn((64, 64)) + bytes(500_000), Refused.TOO_LARGE),
        (drawn((16_000, 1001), mode="1"), Refused.TOO_MANY_PIXELS),
        (drawn((16_000, 16_000), mode="1"), Refused.TOO_MANY_PIXELS),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_other_files_are_refused_with_the_reason(content: bytes, why: Refused) -> None:
    with pytest.raises(PictureRefused) as refused:
        pictures.render(content, Purpose.LOGO)
    assert refused.value.why == why
