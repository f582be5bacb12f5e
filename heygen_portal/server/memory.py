"""Memory settings of the C library for web processes."""

from __future__ import annotations

import ctypes

# Parameters of glibc's mallopt(3).
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
MAPPED_BLOCK_BYTES = 128 * 1024
ARENAS = 2


def return_freed_blocks() -> None:
    """Make glibc return large blocks to the system when they are freed.

    No effect with other C libraries.

    By default glibc raises its mmap threshold whenever a large block is freed and keeps smaller blocks, in up to eight
    arenas per processor, so a process keeps many times the memory of its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED_BLOCK_BYTES)  # setting it also stops glibc from raising it
        mallopt(M_ARENA_MAX, ARENAS)
