"""Links in the documentation lead somewhere, and the paths it names exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# `sessions/actions/stop.py` and the like; a path with a placeholder or pattern in it is none.
PATH = re.compile(
    r"`((?:sessions|avatars|heygen_portal|tests|local|bench|bin|docs|static|templates)/[\w./-]*(?:/|\.\w+))`"
)


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+?)\s*$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_paths_exist(page: Path) -> None:
    text = re.sub(r"(?s)```.*?```", "", page.read_text())
    wrong = []
    for target in LINK.findall(text):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    if page.name != "CHANGELOG.md":  # it names what older versions had
        wrong += [
            path for path in PATH.findall(text) if not any((folder / path).exists() for folder in (ROOT, page.parent))
        ]
    assert wrong == []
