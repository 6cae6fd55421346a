"""System 3: a super-resolver and a recogniser of faces, trained in turns."""

from __future__ import annotations

from trainables.cyclic_recipes import cyclic_schedule
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.schedule import Schedule

Settings = CyclicConfig
build = Cyclic


def baseline(config: CyclicConfig, *, seed: int) -> Schedule:
    """Return one cycle, as the source's tables have it."""
    return cyclic_schedule(config, seed=seed, strategy="cyclic", cycles=1)
