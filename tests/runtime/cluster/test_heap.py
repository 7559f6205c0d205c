import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys
from raynas.runtime.cluster.heap import keep_freed_memory

libc, size = ctypes.CDLL(None), 30 << 20
libc.malloc.restype = ctypes.c_void_p

def step():
    held = [ctypes.c_void_p(libc.malloc(ctypes.c_size_t(size))) for _ in range(3)]
    for each in held:
        libc.memset(each, 1, ctypes.c_size_t(size))
    for each in held:
        libc.free(each)

if sys.argv[1] == "keep":
    keep_freed_memory()
step()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what: str, **environment: str) -> int:
    """Page faults of four steps, each of which frees 90 MB, once that has been done before."""
    environment = {**os.environ, **environment}
    ended = subprocess.run([sys.executable, "-c", PROGRAM, what], env=environment, capture_output=True, text=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc of another C library")
def test_what_is_freed_is_not_asked_for_again_unless_the_environment_says_so() -> None:
    assert faults("keep") < 1_000
    assert faults("leave") > 10_000
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="1000000") > 10_000
