"""The custom element that sites load."""

from __future__ import annotations

import gzip

from local.paths import ROOT

MAX_ELEMENT_BYTES = 10_000


def test_the_element_is_small_and_depends_on_nothing() -> None:
    source = (ROOT / "sessions/static/sessions/embed/avatar-chat.js").read_bytes()
    size = len(gzip.compress(source, 9))
    print(f"avatar-chat.js: {len(source)} bytes, {size} compressed")  # noqa: T201  (asked for by the requirements)
    assert size <= MAX_ELEMENT_BYTES
    assert b"import" not in source
