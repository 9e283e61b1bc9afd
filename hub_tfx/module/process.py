"""What a process is told before it runs modules: to keep memory, and how many threads to use."""

import math
import os
from contextlib import suppress
from pathlib import Path

import tensorflow as tf

from hub_tfx._malloc import keep_memory

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
