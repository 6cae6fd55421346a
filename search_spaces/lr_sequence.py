"""Which sequence of learning rates should the last stage have: first value, drops, factors?

The last stage of a system's baseline gets a piecewise-constant LR with up to two drops. Drop points
lie in its second part, so that trials share all that comes before the first drop they differ in;
no trial is stopped before the epoch after the earliest of them.
The grid has 153 points: 3 first values x up to 2 of 5 drop points x 2 factors for each drop.
"""

from __future__ import annotations

from search_spaces.dimensions import Ask, Choice, Int
from search_spaces.study import Study
from trainables.systems import system
from training.config import Config
from training.curves import Drop, Piecewise
from training.schedule import Schedule

NUM_EPOCHS = 8
FIRST_POINT = 3


def lr_sequence(
    system_name: str, *, factors: tuple[float, ...] = (0.3, 0.1), name: str = "lr_sequence"
) -> Study:
    """Return the study for a system; `factors` are those by which a drop may multiply the LR."""
    first_lr = Choice(
        name="first_lr",
        values=(1e-3, 2e-3, 4e-3),
        unit="LR",
        help="rate of the last stage before any drop",
    )
    first_drop = Int(
        name="first_drop_epoch",
        low=FIRST_POINT,
        high=NUM_EPOCHS,
        unit="epochs",
        help=f"epochs of the last stage before the first drop; {NUM_EPOCHS} is never",
    )
    second_drop = Int(
        name="second_drop_epoch",
        low=FIRST_POINT + 1,
        high=NUM_EPOCHS,
        unit="epochs",
        help=f"later than the first; {NUM_EPOCHS} is never",
    )
    first_factor, second_factor = (
        Choice(name=f"{which}_factor", values=factors, unit="x LR", help=f"of the {which} drop")
        for which in ("first", "second")
    )
    before = _epochs_before(system_name)

    def space(ask: Ask, config: Config, seed: int) -> Schedule:
        lr, first = ask(first_lr), ask(first_drop)
        drops = []
        if first < NUM_EPOCHS:
            drops.append(Drop(at_epoch=first, factor=ask(first_factor)))
            second = ask(second_drop, low=first + 1)
            if second < NUM_EPOCHS:
                drops.append(Drop(at_epoch=second, factor=ask(second_factor)))
        baseline = system(system_name).baseline(config, seed=seed)
        curve = Piecewise(drops=tuple(drops))
        change = {"epochs": NUM_EPOCHS, "lr": lr, "curve": curve}
        last = baseline.stages[-1].model_copy(update=change)
        return baseline.model_copy(update={"stages": (*baseline.stages[:-1], last)})

    return Study(
        name=name,
        question="Which sequence of learning rates should the last stage have?",
        system=system_name,
        dimensions=(first_lr, first_drop, first_factor, second_drop, second_factor),
        space=space,
        points=({"first_lr": 2e-3, "first_drop_epoch": NUM_EPOCHS},),
        max_epochs=before + NUM_EPOCHS,
        grace_epochs=before + FIRST_POINT + 1,
    )


def _epochs_before(system_name: str) -> int:
    """Return the epochs that the baseline spends on the last stage's data before that stage."""
    found = system(system_name)
    *before, last = found.baseline(found.Settings(), seed=0).stages
    return sum(stage.epochs for stage in before if stage.data == last.data)


STUDY = lr_sequence("classifier")
