"""How much of a device's memory data may take: a setting of the machine, in no key."""

from __future__ import annotations

import os

from training.errors import UserError

DEVICE_CACHE = "THAW_DEVICE_CACHE"
"""In the environment: the share of a GPU's free memory that all images of a process may take. With
0 all stay on the host, and are sent batch by batch also where the device is the CPU."""
_SHARE = 0.5


def device_share() -> float:
    """Return the share in [0, 1]; raise `UserError` where the environment has no such number."""
    text = os.environ.get(DEVICE_CACHE, "")
    try:
        share = float(text or _SHARE)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UserError(f"{DEVICE_CACHE}={text!r}: must be a share of memory, 0 .. 1")
    return share
