"""Population-based training in the tree of segments (Jaderberg et al., arXiv 1711.09846).

All trials train for an interval. Then the worst quarter of them each goes on from where one of the
best quarter is, with that one's values perturbed: a fork, which costs nothing that was not trained
before. Generations are synchronous, and all chance comes from (seed, generation): a search that
goes on after a kill makes the same forks. Ray's own PBT takes no search algorithm beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from search_spaces.dimensions import Choice, Dimension, Int
from thaw.trials import Proposal
from trainables.spec import TrialSpec
from training.errors import UserError
from training.schedule import Fork, Schedule
from training.walk import foresee

_SHARE = 0.25
_RESAMPLED = 0.25
_FACTORS = (0.8, 1.2)


class Population:
    """Pauses all trials at each interval, and lets the worst begin again where the best are."""

    def __init__(
        self,
        interval: float,
        dimensions: tuple[Dimension, ...],
        build: Callable[[Mapping[str, Any]], tuple[dict[str, Any], Schedule]],
        seed: int,
    ) -> None:
        """`interval` is in the scheduler's time; `build` makes a schedule of free values.

        `build` returns the values that the schedule was made of, pinned ones included.
        """
        self._interval = interval
        self._dimensions = dimensions
        self._build = build
        self._seed = seed
        self._generation = 0
        self._values: dict[str, float] = {}
        self._ready: list[Proposal] = []

    def passes(self, name: str, time: float, value: float) -> bool:
        """Tell whether the trial has not come to the end of this generation."""
        self._values[name] = -math.inf if math.isnan(value) else value
        return time < self._interval * (self._generation + 1)

    def next(self, paused: dict[str, Proposal], *, is_last: bool) -> Proposal | None:
        """Return a trial of the next generation; it begins when all have come to this one's end."""
        if not self._ready and is_last and paused:
            self._ready = self._breed(paused)
            self._generation += 1
        if not self._ready:
            return None
        proposal = self._ready.pop(0)
        del paused[proposal.name]
        return proposal

    def _breed(self, paused: Mapping[str, Proposal]) -> list[Proposal]:
        """Return all trials, the worst of them as forks of the best where that can be."""
        random = Random(f"{self._seed} {self._generation}")
        ranked = sorted(paused, key=lambda name: (-self._values[name], name))
        num = min(math.ceil(_SHARE * len(ranked)), len(ranked) // 2)
        best, worst = ranked[:num], set(ranked[len(ranked) - num :])
        return [
            self._fork(paused[name], paused[random.choice(best)], random)
            if name in worst
            else paused[name]
            for name in sorted(ranked)
        ]

    def _fork(self, proposal: Proposal, donor: Proposal, random: Random) -> Proposal:
        """Return `proposal` as it goes on from the donor's last segment.

        It goes on as it is where either schedule has rules, since only fixed ones can be forked,
        or where there is no schedule of the new values.
        """
        try:
            values, schedule = self._build(self._perturbed(donor.values, random))
        except UserError:
            return proposal
        begun = donor.assignment.spec.schedule
        if schedule.adaptive or begun.adaptive:
            return proposal
        forked = schedule.model_copy(update={"fork": Fork(at=donor.reached, schedule=begun)})
        spec: TrialSpec = proposal.assignment.spec.with_schedule(forked)
        assignment = replace(proposal.assignment, spec=spec)
        keys = foresee(forked, assignment.facts)
        return replace(
            proposal,
            values=values,
            assignment=assignment,
            keys=keys,
            done=donor.reached,
            reached=donor.reached,
            best=math.nan,
            forked=True,
        )

    def _perturbed(self, values: Mapping[str, Any], random: Random) -> dict[str, Any]:
        return {
            dimension.name: _perturbed(dimension, values.get(dimension.name), random)
            for dimension in self._dimensions
        }


def _perturbed(dimension: Dimension, value: Any, random: Random) -> Any:
    """Return a neighbour of `value`, or now and then any value of the dimension."""
    if isinstance(dimension, Choice | Int):
        allowed = (
            dimension.values
            if isinstance(dimension, Choice)
            else tuple(range(dimension.low, dimension.high + 1))
        )
        if value not in allowed or random.random() < _RESAMPLED:
            return random.choice(allowed)
        place = allowed.index(value) + random.choice((-1, 1))
        return allowed[min(max(place, 0), len(allowed) - 1)]
    if value is None or random.random() < _RESAMPLED:
        low, high = dimension.low, dimension.high
        if dimension.log:
            return math.exp(random.uniform(math.log(low), math.log(high)))
        return random.uniform(low, high)
    return min(max(value * random.choice(_FACTORS), dimension.low), dimension.high)
