"""Compiles the translations without gettext's tools.

Runs in the virtual environment.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from local import stamps
from local.console import Progress, run
from local.paths import ROOT, VENV_PYTHON, write_whole

if TYPE_CHECKING:
    import polib

HINT = "The message above names the file and line. Correct it, then run this again."
# A catalogue's header that names a variant of its language. The libraries' texts are then taken from their catalogues
# of it: Django's Portuguese is the European one, and allauth has none but the variants.
LIBRARY_VARIANT = "X-Library-Variant"
LIBRARIES = ("django", "allauth")


def _sources() -> list[Path]:
    return sorted(ROOT.glob("locale*/*/LC_MESSAGES/*.po"))


def _key() -> str:
    return stamps.key_of([*_sources(), ROOT / "requirements.txt"])


def is_done() -> bool:
    return stamps.is_done("translations", {_key()}) and all(po.with_suffix(".mo").exists() for po in _sources())


def install(progress: Progress) -> None:
    key = _key()
    run(progress, [VENV_PYTHON, "-m", "local.translations"], "translations", hint=HINT)
    stamps.mark_done("translations", key)


def compile_all() -> None:
    import polib  # a third-party package: everything else here works without any

    for po in _sources():
        catalogue = polib.pofile(str(po), check_for_duplicates=True)
        if variant := catalogue.metadata.get(LIBRARY_VARIANT):
            _add_library_texts(catalogue, variant)
        write_whole(po.with_suffix(".mo"), catalogue.to_binary())


def _add_library_texts(catalogue: polib.POFile, variant: str) -> None:
    """Add what the libraries say in a variant of the language."""
    import polib

    known = {(entry.msgctxt, entry.msgid) for entry in catalogue}
    for library in LIBRARIES:
        spec = find_spec(library)
        assert spec, library
        assert spec.origin, library
        for path in sorted(Path(spec.origin).parent.rglob(f"locale/{variant}/LC_MESSAGES/django.po")):
            for entry in polib.pofile(str(path)):
                if entry.translated() and (entry.msgctxt, entry.msgid) not in known:
                    known.add((entry.msgctxt, entry.msgid))
                    catalogue.append(entry)


if __name__ == "__main__":
    compile_all()
