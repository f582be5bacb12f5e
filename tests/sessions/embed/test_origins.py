from __future__ import annotations

import pytest

from sessions.embed.origins import OriginInvalid, normalized, of_url


def test_an_origin_is_kept_as_browsers_send_it() -> None:
    assert normalized(" HTTPS://Www.Examplia.Test:443/ ") == "https://www.examplia.test"
    assert normalized("https://help.examplia.test:8443") == "https://help.examplia.test:8443"
    assert normalized("https://señal.test") == "https://xn--seal-hqa.test"
    assert normalized("http://localhost:3000") == "http://localhost:3000"
    assert of_url("https://www.examplia.test/bill?month=10") == "https://www.examplia.test"
    assert of_url("") == of_url("about:blank") == ""


@pytest.mark.parametrize(
    "text",
    [
        "", "examplia.test", "https://", "https://*.examplia.test", "https://examplia.test/path", "ftp://examplia.test",
        "https://examplia.test?x", "https://examplia.test#x", "https://user@examplia.test", "http://examplia.test",
        "https://a.test; script-src *", "https://a.test https://b.test", "https://a.test:99999", "null", "'self'",
        "javascript:alert(1)", "https://" + "a" * 300 + ".test",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(OriginInvalid):
        normalized(text)
