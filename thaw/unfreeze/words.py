"""What the report on unfreezing says in sentences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from analysis.steps import shown_step
from analysis.transfer.summary import with_interval
from thaw.unfreeze.heads import SETTLED
from thaw.unfreeze.moments import AT, Moments
from thaw.unfreeze.tables import Tables

_WORDS = {
    "loss_flat": "the validation loss is flat",
    "accuracy_settled": "the metric has settled",
    "train_steady": "the training loss is steady",
    "gap_steady": "the train-validation gap does not open",
}


def settled_told(tables: Tables) -> str:
    """Say when heads had settled."""
    found, options = tables.heads.table, tables.options
    if found.empty or not tables.heads.signals:
        return (
            "When heads settled is not known: these logs do not say how long each run trained its "
            "head alone, or lack its epochs."
        )
    kinds = [signal.kind for signal in tables.heads.signals]
    signals = ", ".join(_WORDS[kind] for kind in kinds)
    lacking = [kind for kind in _WORDS if kind not in kinds]
    missing = f" (these logs cannot tell of {', '.join(lacking)})" if lacking else ""
    rule = f"all signals held over {options.patience} epochs{missing}: {signals}"
    known = found[SETTLED].dropna()
    text = f"The head had settled before its unfreezing in {len(known):,} of {len(found):,} runs"
    if not len(known):
        return f"{text} ({rule}): a rule of that kind would have waited longer."
    when = f"after epoch {shown_step(float(known.median()))} in the median"
    span = f"{shown_step(known.min())} to {shown_step(known.max())}"
    return f"{text}, {when}, {span} ({rule})."


def timing_told(tables: Tables) -> str:
    """Say what unfreezing earlier or later than that cost or gained."""
    found = tables.timing.set_index("timing")
    if not found.at[AT, "num_runs"]:
        return (
            "No finished run unfroze when its head had settled: what earlier or later costs "
            "against that cannot be told."
        )
    parts = []
    for timing, row in found.drop(AT).iterrows():
        if not row["num_runs"]:
            parts.append(f"{timing}: no finished run")
            continue
        unit = tables.search.trials.unit
        gain = with_interval(row["difference"], row["difference_interval"], unit.gain)
        doubt = "" if row["told"] else ", cannot tell"
        parts.append(f"{timing}: {f'{gain} {unit.name}'.strip()}{doubt}")
    return (
        f"Against runs that unfroze when the head had settled (within an epoch), those that did so "
        f"{'; '.join(parts)}."
    )


def recommended(tables: Tables) -> str:
    """Say when to unfreeze."""
    moments = tables.moments
    if moments is None:
        return "When to unfreeze: cannot tell, the finished runs do not differ in it."
    best = int(moments.epochs[moments.best])
    low, high = moments.best_between()
    of = "over new seeds" if tables.sample.of_seeds else "over the trials of the search"
    text = f"Recommended: unfreeze after {shown_epochs(best)}"
    if math.isnan(low):
        return f"{text}, by the means {of}; too few runs for an interval{_edge(moments, best)}."
    level = f"{tables.search.trials.options.level:g}%"
    sure = "" if _is_told(tables.by_epoch) else "; that it matters is not beyond chance"
    text = f"{text} ({level} interval {shown_step(low)} to {shown_step(high)}, {of})"
    return f"{text}{sure}{_edge(moments, best)}."


def _edge(moments: Moments, best: int) -> str:
    if best not in (moments.epochs[0], moments.epochs[-1]):
        return ""
    which = "earliest" if best == moments.epochs[0] else "latest"
    return f"; it is the {which} that was tried, so a better one may lie beyond it"


def shown_epochs(num: int) -> str:
    """Return `1 epoch`, `3 epochs`."""
    return f"{num} {'epoch' if num == 1 else 'epochs'}"


def _is_told(by_epoch: pd.DataFrame) -> bool:
    return bool(by_epoch["told"].any())


def rule_told(tables: Tables) -> str:
    """Say which rule would have found the moment, as YAML for a stage."""
    if tables.moments is None:
        return "No rule can be named: the best moment is not known."
    best = int(tables.moments.epochs[tables.moments.best])
    if tables.rules.empty:
        if any(len(records) >= best for records in tables.heads.longest().values()):
            return "No rule can be named: none held on a head that trained on to the best moment."
        return "No rule can be named: no head trained on as far as the best moment."
    row, unit = tables.rules.iloc[0], tables.search.trials.unit
    cost = with_interval(row["cost"], row["interval"], lambda v: unit.gain(v).lstrip("+"))
    return (
        f"The rule that would have found it: `{row['until']}`; it holds after epoch "
        f"{shown_step(row['epoch'])} in the median, on {row['num_fired']} of {row['num_heads']} "
        f"heads, {row['distance']:.1f} epochs from the best moment in the mean, and costs "
        f"{f'{cost} {unit.name}'.strip()} against it{_nearer(row['distance'], best)}."
    )


def _nearer(distance: float, best: int) -> str:
    """Say so where no rule comes near the best moment; none can hold after the first epoch."""
    if distance < 1:
        return ""
    return f"; a fixed length of {shown_epochs(best)} is nearer than any rule"


def about_rules(tables: Tables) -> str:
    """Say how rules were compared."""
    return (
        f"{len(tables.rules):,} rules that held on some head, tried on the histories of heads that "
        "began differently and trained at least as long as the best moment; the nearest to it "
        "first, of these the cheapest. They were chosen on the same runs that they are judged by: "
        "search with the rule (`thaw search unfreeze_rule`) and confirm it before relying on it."
    )


def spread_of_settled(tables: Tables) -> float | None:
    """Return the median epoch after which heads had settled; None where none did."""
    found = float(tables.heads.table[SETTLED].median()) if len(tables.heads.table) else np.nan
    return None if math.isnan(found) else found
