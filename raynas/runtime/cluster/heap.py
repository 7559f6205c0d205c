"""``keep_freed_memory``: a process that computes the same again and again keeps what it frees."""

from __future__ import annotations

import ctypes
import os

# Of glibc's mallopt(3): how much free memory at the end of a heap stays, from what size on an allocation has pages of its own
# (it takes no larger one), and how much is asked for in excess.
_SETTINGS = {"TRIM_THRESHOLD": (-1, 256 << 20), "MMAP_THRESHOLD": (-3, 32 << 20), "TOP_PAD": (-2, 16 << 20)}


def keep_freed_memory() -> None:
    """Let this process keep up to 256 MB of what it frees, instead of asking for it anew at each step.

    What the system gives comes page by page, and zeroed: a forward pass whose activations went back pays thousands of page
    faults, several hundredths of its time. Settings of the environment (``MALLOC_TRIM_THRESHOLD_`` and the like) hold; without
    glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(f"MALLOC_{name}_" in os.environ for name in _SETTINGS):
        return
    for number, value in _SETTINGS.values():
        mallopt(number, value)
