"""What of the machine is ours, and what is given back."""

import ctypes
import os
import sys
from pathlib import Path

import pytest

from infra.processors import give_back_memory, usable_cores


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="other C libraries keep their own counsel",
)
def test_memory_that_was_freed_between_what_is_kept_is_given_back() -> None:
    many = [bytearray(1000) for _ in range(100_000)]
    last = many.pop()
    del many
    before = resident()
    give_back_memory()
    assert before - resident() > 50_000_000
    assert len(last) == 1000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such call here")
def test_cores_that_are_not_ours_are_not_counted() -> None:
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(ours)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, ours)
