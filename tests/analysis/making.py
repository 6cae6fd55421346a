"""Makes logs in MMSegmentation's format from the per-configuration values of the reference report.

`tests/data/extended_training.csv` holds what the source prints. `extended_training_rest.csv` holds
what it lacks, made up so that 22 runs have the source's means: cells of the same configurations,
and nine more. Values are kept in hundredths of a point, so that what is printed can be exact.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).parents[1] / "data"
LABELS = "{strategy}/{dataset}/{model}"
EVERY, LAST = 10_000, 450_000
STEPS = range(EVERY, LAST + 1, EVERY)
RUNNING = (
    "gen_UniControl/IDD-AW/PSPNet",
    "gen_UniControl/BDD10k/PSPNet",
    "gen_cyclediffusion/IDD-AW/PSPNet",
    "gen_cyclediffusion/BDD10k/PSPNet",
    "gen_TSIT/MapillaryVistas/PSPNet",
    "gen_cycleGAN/MapillaryVistas/PSPNet",
)
"""Runs that got as far as `RUNNING_UNTIL`, with gains that would spoil every mean."""
RUNNING_UNTIL = 250_000
NUM_PENDING = 28
_GAINS = ("gain_90k_160k", "gain_160k_240k", "gain_240k_320k")
_VALUES = ("miou_160k", "miou_240k", "miou_320k")


def reference() -> pd.DataFrame:
    """What the source prints, by configuration."""
    return pd.read_csv(DATA / "extended_training.csv").set_index("configuration")


def complete() -> pd.DataFrame:
    """The 22 complete runs; where the source is silent, with the made-up values."""
    rest = pd.read_csv(DATA / "extended_training_rest.csv").set_index("configuration")
    return reference().combine_first(rest)


def curve(row: Mapping[str, float]) -> dict[int, int]:
    """Return step -> hundredths of a point, every 10k steps up to 450k.

    The curve is straight between 90k, 160k, 240k, 320k and the peak; the peak, where it is none of
    these, is 0.02 above them all, and what follows it falls.
    """
    at_160 = _hundredths(row)
    gains = [round(100 * row[name]) for name in _GAINS]
    knots = {160_000: at_160, 90_000: at_160 - gains[0]}
    knots[240_000] = at_160 + gains[1]
    knots[320_000] = knots[240_000] + gains[2]
    peak, top = int(row["peak_step"]), max(knots.values()) + 2
    knots = {EVERY: knots[90_000] - 800, **knots, peak: top}
    end = top - (LAST - peak) // EVERY if peak > 320_000 else knots[320_000] - 1
    knots.setdefault(LAST, end)
    steps = sorted(knots)
    values = np.interp(STEPS, steps, [knots[step] for step in steps])
    return {step: math.floor(value + 1e-6) for step, value in zip(STEPS, values, strict=True)}


def _hundredths(row: Mapping[str, float]) -> int:
    """Return a value at 160k with which all three values round as the source prints them."""
    for offset in (0, 1, -1, 2, -2, 3, -3, 4, -4):
        found = [round(100 * row["miou_160k"]) + offset]
        found += [found[0] + round(100 * row[_GAINS[1]])]
        found += [found[1] + round(100 * row[_GAINS[2]])]
        printed = [round(100 * row[name]) for name in _VALUES]
        if all(abs(a - b) <= 4 for a, b in zip(found, printed, strict=True)):
            return found[0]
    raise ValueError(f"no value at 160k fits the gains: {dict(row)}")


def write_mmseg(path: Path, values: Mapping[int, float]) -> None:
    """Write step -> mIoU (a fraction) as MMSegmentation's JSON log, with training lines between."""
    lines = [{"env_info": "sys.platform: linux", "seed": 0, "exp_name": "made.py"}]
    for step, value in values.items():
        epoch = step // 3000 + 1
        train = {"mode": "train", "epoch": epoch, "lr": 6e-05, "memory": 9000}
        losses = {"decode.loss_seg": 0.3, "loss": 0.3, "time": 0.25}
        lines += [train | {"iter": at} | losses for at in (step - 100, step - 50)]
        told = {"mIoU": value, "mAcc": round(value + 0.08, 4), "aAcc": 0.9, "IoU.road": 0.95}
        lines.append({"mode": "val", "epoch": epoch, "iter": step, "lr": 6e-05, **told})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def write_logs(folder: Path) -> Path:
    """Write the logs of the 22 complete and the 6 running runs; return a list of all planned."""
    for name, row in complete().iterrows():
        write_run(folder, str(name), curve(row.to_dict()))
    for number, name in enumerate(RUNNING):
        steep = {step: 4200 + 7 * number + 35 * place for place, step in enumerate(STEPS)}
        write_run(folder, name, {step: v for step, v in steep.items() if step <= RUNNING_UNTIL})
    pending = [f"std_randaugment/BDD10k/Model{number}" for number in range(NUM_PENDING)]
    planned = folder.parent / "planned.csv"
    planned.write_text("\n".join(["run", *complete().index, *RUNNING, *pending]) + "\n")
    return planned


def write_run(folder: Path, name: str, hundredths: Mapping[int, int]) -> None:
    """Write the log of one run where MMSegmentation would."""
    values = {step: round(value / 10_000, 4) for step, value in hundredths.items()}
    write_mmseg(folder / name / "20260101_120000.log.json", values)
