"""How much of the machine is ours."""

import os


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has under taskset or cpuset."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
