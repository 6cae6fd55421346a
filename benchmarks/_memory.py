"""The most memory that this process held."""

from __future__ import annotations

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
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / _MB
    raise RuntimeError("/proc/self/status has no VmHWM")
