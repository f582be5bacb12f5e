"""Freed memory is returned to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# As in a server, small blocks between the large ones stay, so glibc cannot shrink its heap.
PROGRAM = """
import gc
from pathlib import Path
from heygen_portal.server import memory

def resident_mb():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

memory.return_freed_blocks()
bytearray(4 * 1024 * 1024)  # once freed, glibc would by itself keep all blocks up to this size
before = resident_mb()
pairs = [(bytearray(b"x" * 250_000), bytearray(b"x" * 2_000)) for _ in range(400)]
kept = [small for _large, small in pairs]
del pairs
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_large_blocks_are_returned_as_soon_as_they_are_freed() -> None:
    command = [sys.executable, "-c", PROGRAM]
    growth_mb = float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert growth_mb < 20
