"""malloc, which TensorFlow on a CPU asks for every large tensor: told to keep their memory.

The reasons and figures are in docs/adr/0008-memory-that-stays.md.
"""

import ctypes
import os
from functools import cache

CHOSEN = "HUB_TFX_MALLOC"
"""Environment variable: `system` leaves malloc alone; a process of ours names what it has."""
_SETTINGS = ("MALLOC_", "GLIBC_TUNABLES")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc.
_LARGEST_TENSOR = 1 << 30
_NEVER = (1 << 31) - 1


def is_settled() -> bool:
    """Whether the environment says what malloc is to do, so that nothing is changed."""
    return bool(os.environ.get(CHOSEN)) or any(name.startswith(_SETTINGS) for name in os.environ)


@cache
def keep_memory() -> bool:
    """Lets glibc's malloc keep the memory of tensors for the next call, once for the process.

    Otherwise each call of a heavy module maps and unmaps tens of MB, whose pages the kernel clears
    one after the other. Nothing is done where that is settled, or malloc is not glibc's.

    Returns:
      Whether malloc was told.
    """
    if is_settled():
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        is_told = libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_TENSOR)
        return bool(libc.mallopt(_M_TRIM_THRESHOLD, _NEVER) and is_told)
    except (OSError, AttributeError):
        return False
