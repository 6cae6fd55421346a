"""What the columns of a log stand for, by their names: the axes of a curve, or a metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from analysis.readers.text import clean, words

STEPS = words(
    "step global_step trainer/global_step _step train_step iter iters iteration iterations "
    "iteration_number num_iterations num_steps steps update updates num_updates"
)
EPOCHS = ("epoch", "epochs", "epoch_num", "num_epoch", "num_epochs", "ep")
SECONDS = words(
    "wall_s wall_time wall_time_s walltime wall_clock time_total_s total_duration _runtime elapsed "
    "elapsed_s elapsed_time elapsed_seconds seconds relative_time time_s runtime_s time timestamp "
    "_timestamp"
)
Pairs = list[tuple[str, str]]
_MAX_PLANS = 1000
RUNS = ("run", "run_id", "run_name", "trial")


def normal(name: str) -> str:
    """Return a name as it is compared: lower case, "_" for space and dash."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


@dataclass(frozen=True)
class Layout:
    """Which columns hold the step, the epoch, the seconds and the run, "" for none."""

    step: str = ""
    epoch: str = ""
    wall_s: str = ""
    run: str = ""
    others: frozenset[str] = frozenset()
    """Columns of bookkeeping, by their normal names; no metrics either."""
    _known: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)
    _plans: dict[tuple[str, ...], tuple[Pairs, Pairs]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        steps: tuple[str, ...] = STEPS,
        seconds: tuple[str, ...] = SECONDS,
        bookkeeping: frozenset[str] = frozenset(),
    ) -> Layout:
        """Tell what columns are by their names; of several candidates the first in each list."""
        found: dict[str, str] = {}
        for name in names:
            found.setdefault(normal(name), name)

        def first(candidates: tuple[str, ...]) -> str:
            return next((found[name] for name in candidates if name in found), "")

        return cls(
            first(steps),
            first(EPOCHS),
            first(seconds),
            first(RUNS),
            _axes(steps, seconds) | bookkeeping,
        )

    @property
    def has_axis(self) -> bool:
        """Whether a step or an epoch is known."""
        return bool(self.step or self.epoch)

    def is_metric(self, name: str) -> bool:
        """Whether a column is neither an axis nor bookkeeping."""
        if (known := self._known.get(name)) is None:
            known = self._known[name] = normal(name) not in self.others
        return known

    def plan(self, names: tuple[str, ...]) -> tuple[Pairs, Pairs]:
        """Return the metrics and the axes among `names`, each with the name that is shown."""
        if (found := self._plans.get(names)) is None:
            pairs = [(name, clean(name)) for name in names]
            axes = {self.step, self.epoch, self.wall_s}
            found = (
                [pair for pair in pairs if self.is_metric(pair[1])],
                [pair for pair in pairs if pair[1] in axes],
            )
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[names] = found
        return found


@cache
def _axes(steps: tuple[str, ...], seconds: tuple[str, ...]) -> frozenset[str]:
    return frozenset({*steps, *EPOCHS, *seconds, *RUNS, ""})
