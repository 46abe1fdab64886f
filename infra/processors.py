"""How much of the machine is ours."""

import ctypes
import os
import sys


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has under taskset or cpuset."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def give_back_memory() -> None:
    """Let the system have what was freed: glibc keeps it, and a run may wait for hours on a model.
    Other C libraries are left to themselves."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
