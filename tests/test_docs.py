"""Links and paths in the documentation exist."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Paths such as `sessions/actions/stop.py`, without placeholders or patterns.
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
    if page.name != "CHANGELOG.md":  # it names files of older versions
        wrong += [
            path for path in PATH.findall(text) if not any((folder / path).exists() for folder in (ROOT, page.parent))
        ]
    assert wrong == []


def test_the_index_lists_every_page() -> None:
    docs = ROOT / "docs"
    linked = {(docs / target.partition("#")[0]).resolve() for target in LINK.findall((docs / "README.md").read_text())}
    assert {page for page in pages() if docs in page.parents} - {docs / "README.md"} <= linked


def walks() -> dict[str, list[str]]:
    """Return the numbered steps of docs/architecture.md by heading."""
    sections = re.split(r"(?m)^## ", (ROOT / "docs" / "architecture.md").read_text())
    steps = {
        section.partition("\n")[0]: re.findall(r"(?ms)^\d+\. (.+?)(?=^\d+\. |^\n|\Z)", section) for section in sections
    }
    return {heading: found for heading, found in steps.items() if found}


def names_in(module: Path) -> set[str]:
    """Return `module.function` and `Class.method` for each of a module."""
    if module.suffix == ".js":
        methods = re.findall(r"(?m)^  (?:async )?(\w+)\(.*\{$", module.read_text())
        classes = re.findall(r"(?m)^export class (\w+)", module.read_text())
        return {f"{name}.{method}" for name in classes for method in methods}
    names = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(f"{module.stem}.{node.name}")
        if isinstance(node, ast.ClassDef):
            methods_of = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            names.update(f"{node.name}.{method.name}" for method in methods_of)
    return names


def imports_of(module: Path) -> set[str]:
    """Return the dotted names that a Python module imports."""
    imported = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            imported.update({str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)})
    return imported


def test_architecture_has_three_walks_of_at_most_nine_modules() -> None:
    assert {heading: len(steps) <= 9 for heading, steps in walks().items()} == {
        "A typed text": True,
        "A start": True,
        "A stop": True,
    }


@pytest.mark.parametrize("heading", walks())
def test_a_walk_names_existing_functions_and_follows_the_import_order(heading: str) -> None:
    modules: list[Path] = []
    for step in walks()[heading]:
        module = ROOT / PATH.findall(step)[0]
        named = set(re.findall(r"`(\w+\.\w+)`", step)) - {"session.start", "task.send", "task.sent"}
        assert named
        assert named <= names_in(module), f"{module.name} lacks what step {len(modules) + 1} names"
        if module.suffix == ".py":
            above = {".".join(earlier.relative_to(ROOT).with_suffix("").parts) for earlier in modules}
            assert not above & imports_of(module)
        modules.append(module)
    assert len(set(modules)) == len(modules)
