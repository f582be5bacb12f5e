"""Branch coverage: the daily tests, with the processes that they start.

Prints each branch of `sessions/` and `heygen_portal/providers/` that no test takes, those of `_uncovered.py` with their
reason. Arguments go to pytest.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench._uncovered import UNCOVERED, Uncovered
from local.check import ALL_BUT_PROOFS, PARALLEL
from local.node import node
from local.paths import ROOT

FOLDERS: Final = {"sessions": "sessions/", "providers": "heygen_portal/providers/"}
SCRIPTS: Final = "sessions/static/sessions/"
# Also xdist's processes, servers, commands and Celery's children, which a fork starts and `os._exit` ends. A process
# that is killed, as in many tests, reports nothing.
CONFIGURATION: Final = r"""
[run]
branch = true
parallel = true
patch = subprocess, fork, _exit
sigterm = true
data_file = {data_file}
source = sessions, heygen_portal.providers
omit = */migrations/*
disable_warnings = no-data-collected, module-not-imported, module-not-measured
[report]
exclude_also =
    if TYPE_CHECKING:
    @abstractmethod
    raise NotImplementedError
    def __str__
partial_also =
    # Endless iterators: these loops end only by `break` or `return`.
    for .* in .*\b(count|counting)\(.*:$
"""


@dataclass(frozen=True)
class Branch:
    """A branch that no test takes. A negative `end` is the function's end."""

    path: str
    function: str
    start: int
    end: int
    line: str

    def __str__(self) -> str:
        return f"{self.path}:{self.start} -> {self.end}"

    def is_in(self, entry: Uncovered) -> bool:
        return (self.path, self.function, self.line) == (entry.path, entry.function, entry.line)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        files, failed = measure(Path(folder), sys.argv[1:])
    branches = list(uncovered(files))
    explained = {branch: entry for branch in branches for entry in UNCOVERED if branch.is_in(entry)}
    for branch, entry in explained.items():
        print(f"{branch}: {entry.reason}")
    print("Without a reason:")
    for branch in (branch for branch in branches if branch not in explained):
        print(branch)
    result: dict[str, Any] = {"bench": "coverage"}
    for name, path in FOLDERS.items():
        result[f"{name}_branch_percent"] = branch_percent(files, path)
    result |= {"js_branch_percent": js_branch_percent(), "without_reason": len(branches) - len(explained)}
    print(json.dumps(result))
    if superfluous := list(superfluous_entries(branches)):
        sys.exit("A test takes these branches, or they are gone; remove them:\n" + "\n".join(map(str, superfluous)))
    if failed:
        sys.exit("Some tests failed, so that the figures are too low.")


def measure(folder: Path, arguments: list[str]) -> tuple[dict[str, Any], bool]:
    """Run the tests; return coverage's report by file, and whether a test failed."""
    configuration = folder / "coveragerc"
    configuration.write_text(CONFIGURATION.format(data_file=folder / "data"))
    coverage = [sys.executable, "-m", "coverage"]
    option = f"--rcfile={configuration}"
    tests = ["-m", "pytest", "-q", *(arguments or [*ALL_BUT_PROOFS, *PARALLEL])]
    failed = subprocess.run([*coverage, "run", option, *tests], cwd=ROOT, check=False).returncode != 0
    subprocess.run([*coverage, "combine", option, "--quiet"], cwd=ROOT, check=True)
    report = folder / "report.json"
    subprocess.run([*coverage, "json", option, "--quiet", "-o", str(report)], cwd=ROOT, check=True)
    return json.loads(report.read_text())["files"], failed


def uncovered(files: Mapping[str, Any]) -> Iterator[Branch]:
    """Yield the branches that no test takes, in order."""
    for path, file in sorted(files.items()):
        lines = (ROOT / path).read_text().splitlines()
        found = [
            Branch(path, name, start, end, lines[start - 1].strip())
            for name, function in file["functions"].items()
            for start, end in function["missing_branches"]
        ]
        yield from sorted(found, key=lambda branch: (branch.start, branch.end))


def superfluous_entries(branches: Iterable[Branch]) -> Iterator[Uncovered]:
    """Yield the entries of the table that explain no branch."""
    branches = list(branches)
    yield from (entry for entry in UNCOVERED if not any(branch.is_in(entry) for branch in branches))


def branch_percent(files: Mapping[str, Any], folder: str) -> float | None:
    """Return the taken share of a folder's branches in percent, if it has any."""
    found = [file["summary"] for name, file in files.items() if name.startswith(folder)]
    branches = sum(summary["num_branches"] for summary in found)
    taken = sum(summary["covered_branches"] for summary in found)
    return round(100 * taken / branches, 1) if branches else None


def js_branch_percent() -> float | None:
    """Run the JavaScript tests and return the share of branches they take."""
    call = node()
    assert call is not None, "set-up provides Node"
    scripts = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/js/**/*.test.js"))
    options = ["--test", "--experimental-test-coverage", "--test-reporter", "./bench/_branches_reporter.js"]
    output = subprocess.run([*call, *options, *scripts], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    files = [file for line in output.splitlines() if SCRIPTS in (file := json.loads(line))["path"]]
    branches = sum(file["branches"] for file in files)
    return round(100 * sum(file["taken"] for file in files) / branches, 1) if branches else None


if __name__ == "__main__":
    main()
