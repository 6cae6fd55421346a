"""What strategies cost: planned by the source, planned here, and measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

import pandas as pd

from thaw.cyclic.reading import NO_CYCLE, PRETRAIN, Span, Trial
from trainables.cyclic_recipes import HOURS_PER_EPOCH, cost_table
from training.cyclic_config import CyclicConfig
from training.schedule import Schedule

MODELS = ("dsr", "edgeface")
_HOUR_S = 3600.0


def costs_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return a row for each of the source's strategies.

    `source_hours` is what the source says, at its full lengths; the columns of this preset are
    epochs of each model without the pretraining of EdgeFace, and device-hours as measured.
    """
    config, rates = trials[0].config, hours_per_epoch(trials)
    full = CyclicConfig(preset="full")
    theirs = {n: _epochs(s) for n, s in cost_table(full, seed=0).items()}
    rows = []
    for name, schedule in cost_table(config, seed=0).items():
        epochs = _epochs(schedule)
        hours = {model: epochs[model] * rates.get(model, float("nan")) for model in MODELS}
        source = {m: theirs[name][m] * HOURS_PER_EPOCH["full"][m] for m in MODELS}
        rows.append(
            {
                "strategy": name,
                **{f"source_{model}_epochs": theirs[name][model] for model in MODELS},
                "source_hours": sum(source.values()),
                **{f"{model}_epochs": epochs[model] for model in MODELS},
                **{f"{model}_hours": hours[model] for model in MODELS},
                "hours": sum(hours.values()),
            }
        )
    return pd.DataFrame(rows)


def measured_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return what finished trials took: a row for each resolution, strategy and number of cycles.

    Means over trials of epochs and device-hours, whoever trained them, without pretraining.
    """
    groups: dict[tuple[int, str, int], list[Trial]] = {}
    for trial in trials:
        if trial.finished:
            key = (trial.config.resolution, trial.strategy, num_cycles(trial))
            groups.setdefault(key, []).append(trial)
    rows = []
    for (resolution, strategy, cycles), found in sorted(groups.items()):
        spent = [_spent(trial) for trial in found]
        hours = {model: fmean(hours[model] for _, hours in spent) for model in MODELS}
        rows.append(
            {
                "resolution": resolution,
                "strategy": strategy,
                "cycles": cycles,
                "num_trials": len(found),
                **{f"{m}_epochs": fmean(epochs[m] for epochs, _ in spent) for m in MODELS},
                **{f"{model}_hours": hours[model] for model in MODELS},
                "hours": sum(hours.values()),
            }
        )
    return pd.DataFrame(rows)


def num_cycles(trial: Trial) -> int:
    """Return the number of whole cycles of a trial."""
    return 0 if trial.strategy == NO_CYCLE else max(0, len(trial.rounds) - 1)


def hours_per_epoch(trials: Sequence[Trial]) -> Mapping[str, float]:
    """Return the measured device-hours of an epoch of each model, over distinct stages."""
    spans: dict[str, Span] = {}
    for trial in trials:
        spans |= {span.end.key: span for span in trial.stages if span.name != PRETRAIN}
    epochs, seconds = Counter[str](), Counter[str]()
    for span in spans.values():
        epochs.update(span.num_epochs)
        seconds.update(span.device_s)
    return {model: seconds[model] / epochs[model] / _HOUR_S for model in epochs}


def _epochs(schedule: Schedule) -> Counter[str]:
    found = Counter[str]()
    for stage in schedule.stages:
        found[stage.model] += stage.epochs
    return found


def _spent(trial: Trial) -> tuple[Counter[str], dict[str, float]]:
    epochs, hours = Counter[str](), dict.fromkeys(MODELS, 0.0)
    for span in trial.stages:
        if span.name != PRETRAIN:
            epochs.update(span.num_epochs)
            for model, seconds in span.device_s.items():
                hours[model] += seconds / _HOUR_S
    return epochs, hours
