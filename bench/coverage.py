"""Branch coverage: the daily tests, with the processes that they start.

Prints each branch of `sessions/` and `heygen_portal/providers/` that no test takes. Arguments go to pytest.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from local.check import ALL_BUT_PROOFS, PARALLEL
from local.node import node
from local.paths import ROOT

FOLDERS: Final = {"sessions": "sessions/", "providers": "heygen_portal/providers/"}
SCRIPTS: Final = "sessions/static/sessions/"
# `subprocess`: also xdist's processes, servers and commands. One that is killed, as many tests do, reports nothing.
CONFIGURATION: Final = """\
[run]
branch = true
parallel = true
patch = subprocess
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
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        files, failed = measure(Path(folder), sys.argv[1:])
    for branch in uncovered(files):
        print(branch)
    result: dict[str, Any] = {"bench": "coverage"}
    for name, path in FOLDERS.items():
        result[f"{name}_branch_percent"] = branch_percent(files, path)
    result["js_branch_percent"] = js_branch_percent()
    print(json.dumps(result))
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


def uncovered(files: Mapping[str, Any]) -> Iterator[str]:
    """Yield the branches that no test takes, as `file:line -> line`; a negative line is a function's end."""
    for name, file in sorted(files.items()):
        for start, end in file["missing_branches"]:
            yield f"{name}:{start} -> {end}"


def branch_percent(files: Mapping[str, Any], folder: str) -> float | None:
    """Return the taken share of a folder's branches in percent, or None if it has none."""
    found = [file["summary"] for name, file in files.items() if name.startswith(folder)]
    branches = sum(summary["num_branches"] for summary in found)
    taken = sum(summary["covered_branches"] for summary in found)
    return round(100 * taken / branches, 1) if branches else None


def js_branch_percent() -> float | None:
    """Run the JavaScript tests; return the taken share of the branches of their scripts."""
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
