"""How the C library manages the memory of a web process."""

from __future__ import annotations

import ctypes

# Of glibc's mallopt(3).
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
MAPPED_BLOCK_BYTES = 128 * 1024
ARENAS = 2


def return_freed_blocks() -> None:
    """Have glibc return large blocks to the system as soon as they are freed. Other C libraries are left alone.

    By default glibc raises its threshold with each large block that is freed, and keeps blocks below it for later use,
    in up to eight arenas for each processor. A process then keeps the memory of its busiest moment, many times over.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED_BLOCK_BYTES)  # a fixed threshold is not raised
        mallopt(M_ARENA_MAX, ARENAS)
