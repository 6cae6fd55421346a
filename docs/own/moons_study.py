"""File 3, the study: which dimensions are searched, and the schedule that they mean."""

from pathlib import Path

from search_spaces.dimensions import Int, Real
from search_spaces.study import Study
from training.curves import Cosine
from training.schedule import Schedule, Stage

HEAD = Int(name="head_epochs", low=1, high=4, unit="epochs", help="epochs of the head alone")
LR = Real(name="lr", low=1e-3, high=1e-1, log=True, unit="LR", help="LR of everything after that")


def space(ask, config, seed):
    """Return head-only epochs, then everything for the rest of ten."""
    num_head, lr = ask(HEAD), ask(LR)
    head = Stage(name="head", epochs=num_head, lr=1e-2, groups={"head": 1.0, "*": "frozen"})
    full = Stage(name="full", epochs=10 - num_head, lr=lr, curve=Cosine())
    return Schedule(seed=seed, stages=(head, full))


STUDY = Study(
    name="moons",
    question="How long should the head train alone?",
    system=str(Path(__file__).with_name("moons_system.py")),
    dimensions=(HEAD, LR),
    space=space,
    max_epochs=10,
    grace_epochs=2,
)
