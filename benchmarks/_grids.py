"""What synchronous successive halving needs of the grid of `lr_sequence`, and of two such grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import fmean

import optuna

from benchmarks._halving import Needed, halve, needed, rungs_of, train_paths
from search_spaces.dimensions import Ask
from search_spaces.grid import grid
from search_spaces.lr_sequence import lr_sequence
from search_spaces.study import config_of
from trainables.systems import system
from training.store import Store

_SEED = 0
_TIE_BREAKS = 20
_OTHER_FACTORS = (0.3, 0.03)


def halving(system_name: str, folder: Path) -> dict[str, float]:
    """Train two grids of `lr_sequence` into one store, and return what halving needs of them."""
    studies = [
        lr_sequence(system_name),
        lr_sequence(system_name, factors=_OTHER_FACTORS, name="lr_sequence_again"),
    ]
    config = config_of(studies[0], {})
    task = system(system_name).build(config)
    store = Store(str(folder))
    paths = [
        train_paths(
            study,
            [
                study.space(Ask(optuna.trial.FixedTrial(dict(values)), {}), config, _SEED)
                for values in grid(study, config, {})
            ],
            task,
            _SEED,
            store,
        )
        for study in studies
    ]
    full = [needed([path.keys for path in of_one]) for of_one in paths]
    halved = []
    for draw_number in range(_TIE_BREAKS):
        random = Random(draw_number)
        halved.append([halve(of_one, rungs_of(studies[0]), random) for of_one in paths])
    return {
        **_ratios("full", [full[0]]),
        **_ratios("full_two", [full[0].and_also(full[1])]),
        **_ratios("sh", [one for one, _ in halved]),
        **_ratios("sh_two", [one.and_also(other) for one, other in halved]),
    }


def _ratios(prefix: str, draws: Sequence[Needed]) -> dict[str, float]:
    alone = [one.ratio_after_common for one in draws]
    return {
        f"{prefix}_ratio_naive": fmean(one.ratio_naive for one in draws),
        f"{prefix}_ratio_careful": fmean(one.ratio_careful for one in draws),
        f"{prefix}_ratio_last_stage": fmean(alone),
        **({f"{prefix}_ratio_last_stage_worst_draw": min(alone)} if len(draws) > 1 else {}),
        f"{prefix}_segments_shared": fmean(len(one.keys) for one in draws),
    }
