"""Which rule would have found the best moment: a grid of them over the histories of heads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import yaml

from thaw.unfreeze.heads import first_epoch
from thaw.unfreeze.moments import Moments
from training.record import Record
from training.rules import ACCURACY, Rule, in_training

COLUMNS = "until num_fired num_heads epoch distance cost interval num_signals"
_DROPS, _POINTS, _NOISES, _PATIENCES = (0.02, 0.05, 0.1), (1.0, 2.0), (0.05, 0.1), (1, 2, 3)


def backtest(
    trunks: Mapping[str, Sequence[Record]], moments: Moments, metric: str, mode: str
) -> pd.DataFrame:
    """Return a row for each rule that held on some head, the best first.

    `until` is the rule as YAML for a stage. `epoch` is the median at which it held; `distance` how
    far from the best moment that was, and `cost` what the moments it would have chosen are behind
    the best one, both means over heads. On a head on which it did not hold it ends with the
    history, at the least. Heads that are shorter than the best moment cannot tell of late rules:
    they are left out, and counted in `num_heads` where they are not.
    """
    best = int(moments.epochs[moments.best])
    long = [records for records in trunks.values() if len(records) >= best]
    rows = []
    names = {name for records in long[:1] for name in records[0].metrics}
    for rule in grid(names, metric, mode):
        held = np.array([first_epoch(rule, records) for records in long])
        if not np.isfinite(held).any():
            continue
        ended = np.where(np.isnan(held), [len(records) + 1 for records in long], held)
        places = np.clip(ended - moments.epochs[0], 0, len(moments.epochs) - 1).astype(np.int64)
        cost, low, high = moments.costs(places)
        rows.append(
            {
                "until": flow(rule),
                "num_fired": int(np.isfinite(held).sum()),
                "num_heads": len(long),
                "epoch": float(np.median(held[np.isfinite(held)])),
                "distance": float(np.abs(ended - best).mean()),
                "cost": cost,
                "interval": "" if math.isnan(low) else f"[{low:.6g}, {high:.6g}]",
                "num_signals": len(rule.all or rule.any),
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS.split())
    order = ["distance", "cost", "num_signals"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def grid(names: Set[str], metric: str, mode: str) -> Iterator[Rule]:
    """Yield rules of the spec's signals: each alone, all of two, and all or any of the four.

    Thresholds are those that the source names or lie around them. Signals whose metric is not among
    `names` are left out; a plateau of the metric is there as the usual early stopping.
    """
    families = _families(names, metric)
    for signals in families:
        yield from (_rule("any", [signal], metric) for signal in signals)
    for delta, patience in product(_POINTS, _PATIENCES):
        plateau = {"kind": "plateau", "metric": metric, "mode": mode, "min_delta": delta / 100}
        yield _rule("any", [plateau | {"patience": patience}], metric)
    for one, other in combinations(families, 2):
        for pair in product(one, other):
            if pair[0]["patience"] == pair[1]["patience"]:
                yield _rule("all", pair, metric)
    for patience, which in product(_PATIENCES[1:], (0, -1)) if len(families) > 2 else ():
        alike = [[s for s in family if s["patience"] == patience][which] for family in families]
        yield _rule("all", alike, metric)
        yield _rule("any", alike, metric)


def _families(names: Set[str], metric: str) -> list[list[dict[str, Any]]]:
    """Return the signals that look at the same thing, from the strictest threshold on."""
    wanted: list[tuple[set[str], str, str, Sequence[float]]] = [
        ({metric}, "accuracy_settled", "points", _POINTS),
        ({"val_loss"}, "loss_flat", "drop", _DROPS),
        ({"train_loss"}, "train_steady", "noise", _NOISES),
        ({metric, in_training(metric)}, "gap_steady", "points", _POINTS),
    ]
    return [
        [
            {"kind": kind, field: value, "patience": patience}
            for value, patience in product(values, _PATIENCES)
            if patience > 1 or kind != "train_steady"
        ]
        for asks, kind, field, values in wanted
        if asks <= names
    ]


def _rule(how: str, signals: Sequence[Mapping[str, Any]], metric: str) -> Rule:
    """Return a rule whose signals are of `metric`, which needs no word where it is the usual."""
    rule = Rule.parse({how: list(signals)})
    return rule if metric == ACCURACY else rule.measured_by(metric)


def flow(rule: Rule) -> str:
    """Return a rule as one line of YAML, to be put into a stage."""
    plain = {"until": rule.model_dump(mode="json", exclude_defaults=True)}
    text: str = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=math.inf)
    return text.strip()[1:-1]
