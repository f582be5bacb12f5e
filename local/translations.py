"""Compiles the translations without gettext's tools.

Runs in the virtual environment.
"""

from pathlib import Path

from local import stamps
from local.console import Progress, run
from local.paths import ROOT, VENV_PYTHON, write_whole

HINT = "The message above names the file and line. Correct it, then run this again."


def _sources() -> list[Path]:
    return sorted(ROOT.glob("locale*/*/LC_MESSAGES/*.po"))


def _key() -> str:
    return stamps.key_of(_sources())


def is_done() -> bool:
    return stamps.is_done("translations", {_key()}) and all(po.with_suffix(".mo").exists() for po in _sources())


def install(progress: Progress) -> None:
    key = _key()
    run(progress, [VENV_PYTHON, "-m", "local.translations"], "translations", hint=HINT)
    stamps.mark_done("translations", key)


def compile_all() -> None:
    import polib  # a third-party package: everything else here works without any

    for po in _sources():
        write_whole(po.with_suffix(".mo"), polib.pofile(str(po), check_for_duplicates=True).to_binary())


if __name__ == "__main__":
    compile_all()
