"""The languages of the interface: each that has a compiled catalogue, besides English, the language of the source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.conf.locale import LANG_INFO
from django.utils import translation
from django.utils.translation import gettext_lazy

SOURCE = "en"


def languages_in(folders: Iterable[Path], default: str) -> list[tuple[str, Any]]:
    """Return codes and names of the languages with a catalogue in one of the folders, as Django's LANGUAGES.

    The default language comes first, English second, the others by their codes. Languages that Django does not know
    are left out.
    """
    compiled = (path for folder in folders for path in folder.glob("*/LC_MESSAGES/django.mo"))
    found = {translation.to_language(path.parent.parent.name) for path in compiled} - {default, SOURCE}
    codes = dict.fromkeys((default, SOURCE, *sorted(found)))
    # Django's own catalogues have the names.
    return [(code, gettext_lazy(str(LANG_INFO[code]["name"]))) for code in codes if "name" in LANG_INFO.get(code, {})]


def nearest(asked: Sequence[str | None], offered: Sequence[str] = ()) -> str:
    """Return the first of these languages that pages have, as pt for pt-BR, or the portal's default.

    With `offered`, only those count. The first of them is the default if the portal's own is not offered.
    """
    for code in asked:
        try:
            found = translation.get_supported_language_variant((code or "").lower())
        except LookupError:
            continue
        if not offered or found in offered:
            return found
    return str(settings.LANGUAGE_CODE) if not offered or settings.LANGUAGE_CODE in offered else offered[0]


def socket_language(query: bytes) -> str:
    """Return the language that a page names in the query of its socket's URL."""
    return nearest([query.decode("ascii", "replace").removeprefix("lang=")])
