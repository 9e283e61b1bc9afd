"""What a process is told before it runs modules: to keep memory, and how many threads to use."""

import ctypes
import math
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import tensorflow as tf

_MALLOC = "HUB_TFX_MALLOC"
_SETTINGS_OF_ITS_OWN = ("MALLOC_", "GLIBC_TUNABLES")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc.
_LARGEST_TENSOR = 1 << 30
_NEVER = (1 << 31) - 1
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

_threads: int | None = None


def prepare_process(threads: int | None = None) -> None:
    """Prepares this process for calls of modules, once; before TensorFlow has run anything.

    Args:
      threads: that an op of TensorFlow uses, ops beside each other, and decoders of images; None
        for a thread a core.
    """
    global _threads
    keep_memory()
    _threads = threads or cores()
    with suppress(RuntimeError):  # TensorFlow has run something, and has its threads.
        tf.config.threading.set_intra_op_parallelism_threads(_threads)
        tf.config.threading.set_inter_op_parallelism_threads(_threads)


def threads() -> int:
    """The number of threads that work in this process shares."""
    return _threads or cores()


def cores() -> int:
    """Number of cores that this process may use, also where a container has a part of a machine."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with suppress(OSError, ValueError):
        quota, period = map(int, _CPU_QUOTA.read_text().split())
        return max(1, min(allowed or 1, math.ceil(quota / period)))
    return allowed or 1


@cache
def keep_memory() -> bool:
    """Lets glibc's malloc keep the memory of tensors for the next call, once for the process.

    Otherwise each call of a heavy module maps and unmaps tens of MB, whose pages the kernel clears
    one after the other (docs/adr/0008-memory-that-stays.md). Nothing is done where HUB_TFX_MALLOC
    is set, where the environment has settings for malloc, or where malloc is not glibc's.

    Returns:
      Whether malloc was told.
    """
    if os.environ.get(_MALLOC):
        return False
    if any(name.startswith(_SETTINGS_OF_ITS_OWN) for name in os.environ):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        is_told = libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_TENSOR)
        return bool(libc.mallopt(_M_TRIM_THRESHOLD, _NEVER) and is_told)
    except (OSError, AttributeError):
        return False
