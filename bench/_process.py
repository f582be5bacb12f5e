"""CPU time, memory and open files of a running process, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

JIFFY_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    name: str
    pid: int

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * JIFFY_S

    def rss(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def with_descendants(name: str, pid: int) -> list[Process]:
    """Return a process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Process(name, pid), *(found for child in children for found in with_descendants(name, int(child)))]
