"""What a process is told before it runs modules."""

import subprocess
import sys

import pytest

from hub_tfx.module import process

_FAULTS = """
import ctypes, resource
from hub_tfx._malloc import keep_memory
print(keep_memory())
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensor = libc.malloc(100 << 20)
    ctypes.memset(tensor, 1, 100 << 20)
    libc.free(tensor)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[-1])
"""


def told(environment):
    """Whether malloc was told, and page faults of a tensor like one that was freed before."""
    environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path), **environment}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FAULTS],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    is_told, faults = done.stdout.split()
    return is_told == "True", int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_memory_of_a_tensor_is_kept_for_the_next_one():
    is_told, faults = told({})
    assert is_told
    assert faults < 100


@pytest.mark.parametrize(
    "environment",
    [{"HUB_TFX_MALLOC": "system"}, {"MALLOC_ARENA_MAX": "4"}, {"GLIBC_TUNABLES": "x=1"}],
    ids=lambda environment: next(iter(environment)),
)
def test_who_has_settings_of_their_own_keeps_them(environment):
    is_told, faults = told(environment)
    assert not is_told
    assert faults > 100


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("", 8)]
)
def test_a_container_has_the_cores_that_it_was_given(monkeypatch, tmp_path, quota, cores):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(process, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(process.os, "sched_getaffinity", lambda _: set(range(8)))
    assert process.cores() == cores
