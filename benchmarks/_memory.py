"""The memory of this process."""

from __future__ import annotations

import math
import resource
import sys
from pathlib import Path

_MB = 1024**2


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB, since it was started.

    On Linux `ru_maxrss` would be that of the process which started this one, where that was larger.
    """
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MB
    return _status_mb("VmHWM")


def anonymous_mb() -> float:
    """Return what of the resident memory is in no file, in MB; not a number where it is not told.

    The rest are pages of libraries, which all processes share; how many of them are resident hangs
    on how the kernel has them in its cache.
    """
    return _status_mb("RssAnon") if sys.platform == "linux" else math.nan


def _status_mb(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / _MB
    raise RuntimeError(f"/proc/self/status has no {name}")
