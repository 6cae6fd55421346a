"""Made-up searches of which the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.logs import Logs

HEAD = (0.50, 0.60, 0.65, 0.655, 0.657, 0.658, 0.658, 0.659, 0.659, 0.66)
"""Accuracy of the head alone after each epoch: it settles after epoch 4."""


def trial(
    unfreeze: int,
    final: float,
    *,
    epochs: int = 12,
    until: int | None = None,
    frozen_s: float = 1.0,
    full_s: float = 1.5,
) -> list[tuple[float, float, float]]:
    """Return (epoch, accuracy, seconds so far): the head, then a straight way to `final`."""
    points, seconds = [], 0.0
    for epoch in range(1, epochs + 1):
        seconds += frozen_s if epoch <= unfreeze else full_s
        start = HEAD[unfreeze - 1]
        way = (epoch - unfreeze) / (epochs - unfreeze)
        value = HEAD[epoch - 1] if epoch <= unfreeze else start + way * (final - start)
        points.append((float(epoch), value, seconds))
    return points[:until]


def search(trials: Mapping[str, tuple[dict[str, Any], list[tuple[float, float, float]]]]) -> Logs:
    """Return the logs of trials: name -> (parameters, points); `status` is among the parameters."""
    rows = [
        (name, epoch, epoch, wall_s, "val_accuracy", value)
        for name, (_, points) in trials.items()
        for epoch, value, wall_s in points
    ]
    columns = ["run", "step", "epoch", "wall_s", "metric", "value"]
    index = pd.Index(list(trials), dtype=str)
    runs = pd.DataFrame(
        {"status": [params.get("status", "finished") for params, _ in trials.values()]}, index=index
    )
    for name in dict.fromkeys(n for params, _ in trials.values() for n in params if n != "status"):
        values = [params.get(name) for params, _ in trials.values()]
        runs[f"param:{name}"] = pd.Series(values, index, dtype=object)
    return Logs(pd.DataFrame(rows, columns=columns), runs, (), ())


def timing_search(num: int = 40, *, gain: float = 0.04, noise: float = 0.005) -> Logs:
    """A search in which unfreezing in epochs 4 to 6 is `gain` better than at other times."""
    rng = np.random.default_rng(1)
    trials = {}
    for number in range(num):
        unfreeze = int(rng.integers(1, 11))
        final = 0.85 + gain * (4 <= unfreeze <= 6) + float(rng.normal(0, noise))
        params = {
            "unfreeze_epoch": unfreeze,
            "frozen_batchnorm": str(rng.choice(["train", "eval_frozen"])),
            "partial_epochs": int(rng.choice([0, 2, 4])),
            "full_lr": float(rng.uniform(1e-4, 1e-2)),
        }
        trials[f"{number:04}"] = (params, trial(unfreeze, final))
    return search(trials)


def modes(num: int = 20, **changes: Any) -> Logs:
    """A search of freezing, unfreezing and neither, with known gains, seconds and switches."""
    rng = np.random.default_rng(2)
    known = {"freeze": 0.80, "unfreeze": 0.82, "none": 0.83} | changes
    trials = {}
    for number in range(num):
        for mode, final in known.items():
            ema, resize = bool(rng.integers(2)), bool(rng.integers(2))
            value = final + 0.005 * ema + float(rng.normal(0, 0.001))
            seconds = (1.0, 1.15, 1.3)[list(known).index(mode)] * (0.6 if resize else 1.0)
            params = {"mode": mode, "ema": ema, "resize": resize, "lr": float(rng.uniform())}
            points = trial(1, value, frozen_s=seconds, full_s=seconds)
            trials[f"{mode}-{number}"] = (params, points)
    return search(trials)


def both(one: Logs, other: Logs) -> Logs:
    """Return the runs of two folders as one."""
    points, runs = ([getattr(logs, name) for logs in (one, other)] for name in ("points", "runs"))
    return Logs(pd.concat(points, ignore_index=True), pd.concat(runs), (), ())
