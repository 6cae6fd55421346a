"""File 2, the system: the settings, the task, and the schedule to start from."""

from moons_task import Moons, Settings

from training.schedule import Schedule, Stage

__all__ = ["Settings", "baseline", "build"]

build = Moons


def baseline(config, *, seed):
    """Return what one would train without a search."""
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=5, lr=1e-3),))
