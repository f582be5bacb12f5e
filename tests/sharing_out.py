"""Which tests one process makes one after the other, and which begin first, so that two processes end together."""

from __future__ import annotations

from fnmatch import fnmatch

from xdist.scheduler import LoadFileScheduling

# Files that share what takes long to start; the longest unit first, as all would wait for it at the end.
TOGETHER = {
    "the admin's portal": ("tests/browser/test_admin.py",),
    "the room's stage": ("tests/browser/*",),
    "LiveKit": ("tests/emulator/test_*room*.py", "tests/sessions/test_own_rooms.py", "tests/setup/test_servers.py"),
    "PostgreSQL": (
        *(
            f"tests/sessions/test_{name}.py"
            for name in (
                "concurrency",
                "events",
                "exports",
                "failing_provider",
                "long_list",
                "model",
                "tamper*",
                "texts",
            )
        ),
        "tests/upgrades/*",
        "tests/attacks/test_access_at_use.py",
        "tests/attacks/test_keys.py",
        "tests/attacks/test_laundering.py",
        "tests/attacks/test_word_index.py",
        "tests/attacks/test_record.py",
        "tests/attacks/test_odd_values.py",
    ),
    "the server in front": ("tests/attacks/test_bodies.py", "tests/attacks/test_slow_readers.py"),
    "the matrix": ("tests/access/*",),
    "bin/serve": ("tests/setup/test_serve.py",),
}


def unit(test: str) -> str:
    """Return what the test is a part of: tests of one unit are one process's; by itself, a file is one."""
    file = test.partition("::")[0]
    return next((name for name, files in TOGETHER.items() if any(fnmatch(file, each) for each in files)), file)


def place(test: str) -> int:
    """Return where among all others the test begins."""
    return [*TOGETHER, unit(test)].index(unit(test))


class WholeUnits(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist brings no types
    """Gives each process whole units. The groups that pytest-xdist has for this are void from pytest 9.2 on."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
