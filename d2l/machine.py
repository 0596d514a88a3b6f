"""What the helper has to know of, or tell, the machine under a framework."""

import ctypes
import math
import os
import re
import sys
from pathlib import Path

# Numbers of mallopt's settings, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4

SIBLINGS = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
CPU_INFO = Path("/proc/cpuinfo")


def usable_processors() -> int:
    """How many processors this process may use: where a scheduler gives each job some of a machine's, those of its job.

    A quota of their time, as containers may have it, is not seen.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_are_shown_twice() -> bool:
    """Whether the system lists each core as two processors or more (simultaneous multithreading), as far as it says."""
    return not SIBLINGS.exists() or len(re.findall(r"\d+", SIBLINGS.read_text("utf-8"))) > 1


def physical_memory() -> float:
    """Bytes of memory that the machine has; without limit where the system does not say."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies ``bfloat16`` by itself (AVX-512 BF16), as far as the system says."""
    flags = re.search(r"^flags\s*:(.*)", CPU_INFO.read_text("utf-8"), re.MULTILINE) if CPU_INFO.exists() else None
    return flags is not None and "avx512_bf16" in flags[1].split()


def keep_freed_memory() -> None:
    """Let the C library keep memory that tensors free, for the next step's tensors.

    glibc would give large blocks back to the system, and each step would begin with a page fault for every 4 KiB of
    its activations. The setting is the process's and lasts until it ends. Does nothing with another C library.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_TOP_PAD, 2**28)
