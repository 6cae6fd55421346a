"""The sections of the report on cyclic training, from its tables."""

from __future__ import annotations

import json
import math
from collections import Counter

from analysis.document import Block, Chart, Items, Picture, Section, Text
from analysis.plots import bars, scatter
from analysis.shown import Shown, counts, grid, numbers, words
from thaw.cyclic.claims import AGREES, CONFIRMED, NARROW, REFUTED
from thaw.cyclic.options import Options
from thaw.cyclic.tables import Tables
from thaw.face_strips import dsr_ends, strip
from training.cyclic import Cyclic
from training.gates import Gates

_MARKS = {
    CONFIRMED: "good",
    AGREES: "good",
    REFUTED: "bad",
    "go_on": "good",
    "retrain": "bad",
    "stop": "weak",
}
_RESOLUTION = {"resolution": counts("px")}


def costs(tables: Tables, options: Options) -> Section:
    """What strategies cost."""
    shown = {
        "strategy": words("strategy"),
        "source_dsr_epochs": counts("source: DSR epochs"),
        "source_edgeface_epochs": counts("EdgeFace epochs"),
        "source_hours": numbers("hours", "{:.0f}".format),
        "dsr_epochs": counts("here: DSR epochs"),
        "dsr_hours": _hours("DSR hours"),
        "edgeface_epochs": counts("EdgeFace epochs"),
        "edgeface_hours": _hours("EdgeFace hours"),
        "hours": _hours("hours in all"),
    }
    took = {
        **_RESOLUTION,
        "strategy": words("strategy"),
        "cycles": counts("cycles"),
        "num_trials": counts("trials"),
        "dsr_epochs": numbers("DSR epochs", "{:.3g}".format),
        "dsr_hours": _hours("DSR hours"),
        "edgeface_epochs": numbers("EdgeFace epochs", "{:.3g}".format),
        "edgeface_hours": _hours("EdgeFace hours"),
        "hours": _hours("hours in all"),
    }
    return Section(
        "Costs",
        (
            Text(
                "Planned: the source at its full lengths, and this preset at the hours per epoch "
                "that were measured here. All without pretraining EdgeFace."
            ),
            grid("costs", tables.costs, shown, options.max_rows),
            Text("Measured: means over finished trials, whoever trained their segments."),
            grid("measured", tables.measured, took, options.max_rows),
        ),
    )


def gains(tables: Tables, options: Options) -> Section:
    """What each cycle gained."""
    level = f"{options.level:g}%"
    shown = {
        **_RESOLUTION,
        "cycle": words("step"),
        "num_trials": counts("distinct"),
        "num_seeds": counts("seeds"),
        "before": _per_cent("before, %"),
        "after": _per_cent("after, %"),
        "gain": _points("mean gain, points"),
        "people": words(f"{level} over people"),
        "seeds": words(f"{level} over seeds"),
        "best_gain": _points("best gain"),
    }
    table = tables.gains.assign(
        people=[_range(*ends) for ends in tables.gains[["low", "high"]].itertuples(index=False)],
        seeds=[
            _range(*ends)
            for ends in tables.gains[["seed_low", "seed_high"]].itertuples(index=False)
        ],
    )
    weak = [
        not (low > 0 or high < 0) for low, high in zip(table["low"], table["high"], strict=True)
    ]
    names = [
        f"{px} px, {name}" for px, name in zip(table["resolution"], table["cycle"], strict=True)
    ]
    figure = bars(
        names,
        table["gain"].tolist(),
        [_json(*ends) for ends in table[["low", "high"]].itertuples(index=False)],
        lambda value: f"{100 * value:+.1f}",
        scale=100.0,
        title="gain of accuracy in points",
        weak=weak,
    )
    note = f"With {level} intervals over held-out people; pale where it may be no gain."
    text = (
        "`first` is DSR and EdgeFace trained once, against bicubic interpolation and the "
        "recogniser before any fine-tuning, and `in the end` is the last cycle against the same; a "
        "cycle is against what was before it. Steps that "
        "trials share count once. Intervals: a bootstrap over held-out people, each with all "
        "probes; Student's t over seeds where there are three or more."
    )
    return Section(
        "Gain of each cycle",
        (Text(text), Chart("gains", figure, note), grid("gains", table, shown, options.max_rows)),
    )


def levels(tables: Tables, options: Options) -> Section:
    """Accuracy, identity loss and PSNR by resolution."""
    shown = {
        **_RESOLUTION,
        "state": words("state"),
        "num_states": counts("distinct"),
        "accuracy": _per_cent("accuracy, %"),
        "best": _per_cent("best, %"),
        "tar": _per_cent("TAR, %"),
        "auc": numbers("AUC", "{:.3f}".format),
        "identity": numbers("identity loss", "{:.3f}".format),
        "psnr": numbers("PSNR, dB", "{:.2f}".format),
        "ssim": numbers("SSIM", "{:.3f}".format),
    }
    text = (
        "Means over distinct states, on people and images that nobody was trained on: "
        "identification among all held-out people with one sharp face of each, true accepts (TAR) "
        "at the configured share of false ones, the identity loss (1 minus the cosine of the "
        "embeddings of the upsampled and the sharp face), PSNR and SSIM."
    )
    return Section("By resolution", (Text(text), grid("levels", tables.levels, shown, 100)))


def verdicts(tables: Tables, options: Options) -> Section:
    """What the gates say of each cycle."""
    shown = {
        **_RESOLUTION,
        "trial": words("trial"),
        "cycle": words("cycle"),
        "gain": _points("gain, points"),
        "people": words(f"{options.level:g}%"),
        "identity_after": numbers("identity loss", "{:.3f}".format),
        "psnr_after": numbers("PSNR, dB", "{:.2f}".format),
        "verdict": words("verdict", _MARKS),
        "rule": words("rule"),
        "reason": words("because"),
    }
    table = tables.cycles
    if table.empty:
        return Section("Verdicts", (Text("No trial has finished a cycle."),))
    ends = table[["low", "high"]].itertuples(index=False)
    table = table.assign(people=[_range(*pair) for pair in ends])
    found = Counter(zip(table["rule"], table["verdict"], strict=True))
    said = [
        f"{rule} ({action}): {count:,} of {len(table):,} cycles"
        for (rule, action), count in found.most_common()
    ]
    gates = Gates(measure=options.measure)
    unit = "points" if gates.measure == "points" else "per cent (relative)"
    text = (
        f"Gains in {unit}. On to a second cycle above {gates.go_on_above:g}; stop below "
        f"{gates.stop_below:g}, after {gates.max_cycles} cycles, where PSNR fell by more than "
        f"{gates.psnr_drop_db:g} dB or the identity loss is below {gates.identity_floor:g}; a fall "
        f"of more than {gates.catastrophic_above:g} asks for a full retrain."
    )
    return Section(
        "Verdicts", (Text(text), Items(tuple(said)), grid("cycles", table, shown, options.max_rows))
    )


def pareto(tables: Tables, options: Options) -> Section:
    """Accuracy against device-hours."""
    table = tables.pareto
    if table.empty:
        return Section("Accuracy and cost", (Text("No trial has finished."),))
    fixed = ("trial", "resolution", "strategy", "cycles", "accuracy", "hours", "on_front")
    shown: dict[str, Shown] = {
        "trial": words("trial"),
        **_RESOLUTION,
        "strategy": words("strategy"),
        "cycles": counts("cycles"),
        "accuracy": _per_cent("accuracy, %"),
        "hours": _hours("device-hours"),
        **{name: words(name) for name in map(str, table.columns) if name not in fixed},
    }
    front = table[table["on_front"]]
    points = table.assign(
        name=[f"{t}, {px} px" for t, px in zip(table["trial"], table["resolution"], strict=True)],
        x=table["hours"],
        y=table["accuracy"],
        solid=table["on_front"],
    )
    figure = scatter(points, x_title="device-hours", y_title="accuracy in %", scale=100.0)
    text = (
        "Device-hours of a schedule by itself, with pretraining, whoever trained its segments. "
        "Listed is the front: nothing cheaper at its resolution is as good."
    )
    note = "Filled: the front."
    listed = grid("pareto", front, shown, options.max_rows)
    return Section("Accuracy and cost", (Text(text), Chart("pareto", figure, note), listed))


def claims(tables: Tables, options: Options) -> Section:
    """The source's expectations."""
    table = tables.claims
    columns = ("expected_low", "expected_high")
    table = table.assign(
        expected=[_plain_range(*pair) for pair in table[[*columns]].itertuples(index=False)],
        interval=[_plain_range(*pair) for pair in table[["low", "high"]].itertuples(index=False)],
    )
    shown = {
        "expectation": words("expectation"),
        "expected": words("source"),
        "measured": numbers("measured", "{:.3g}".format),
        "interval": words(f"{options.level:g}% interval"),
        "num_states": counts("states"),
        "verdict": words("verdict", _MARKS),
    }
    config = tables.trials[0].config
    drawn = (
        f" The source is about photographs at full size, this is the preset {config.preset} on "
        f"{'drawn faces' if config.data == 'faces' else config.data}: what is refuted here need "
        "not be wrong there."
    )
    text = (
        "Confirmed: the whole interval lies in the source's range. Refuted: it lies apart from it. "
        f"Agrees: the source names a single figure, and an interval of {NARROW:g} points or less "
        "holds it, as narrow as any range it gives of an accuracy. Else it cannot be told."
        + (drawn if config.preset == "sample" else "")
    )
    return Section(
        "Expectations of the source", (Text(text), grid("claims", table, shown, options.max_rows))
    )


def pictures(tables: Tables, options: Options) -> Section:
    """Faces before and after each cycle, of the best finished trial at each resolution."""
    blocks: list[Block] = []
    for px, part in tables.pareto.groupby("resolution") if options.faces else ():
        most = part[part["cycles"] == part["cycles"].max()]
        name = str(most.sort_values("accuracy", ascending=False)["trial"].iloc[0])
        trial = next(trial for trial in tables.trials if trial.name == name)
        task = trial.spec.build_task()
        assert isinstance(task, Cyclic)
        ends = dsr_ends([(s.name, s.model, s.end.key) for s in trial.stages])
        png = strip(task, trial.store, ends, options.faces)
        if png is None:
            blocks.append(Text(f"{px} px: the store has dropped the states of {name}."))
            continue
        headings = ", ".join(heading for heading, _ in ends)
        alt = f"Held-out faces at {px} px, bicubic, after {headings}, and the truth"
        note = f"Trial {name}: held-out people; what DSR makes of them at the end of each stage."
        blocks.append(Picture(f"faces-{px}px", png, alt, note))
    return Section("Faces", tuple(blocks) or (Text("No picture was made."),))


def _hours(heading: str) -> Shown:
    return numbers(heading, "{:.3g}".format)


def _per_cent(heading: str) -> Shown:
    return numbers(heading, lambda value: f"{100 * value:.1f}")


def _points(heading: str) -> Shown:
    return numbers(heading, lambda value: f"{100 * value:+.1f}")


def _range(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{100 * low:+.1f} to {100 * high:+.1f}"


def _plain_range(low: float, high: float) -> str:
    if math.isnan(low):
        return ""
    return f"{low:.4g}" if low == high else f"{low:.3g} to {high:.3g}"


def _json(low: float, high: float) -> str:
    return "" if math.isnan(low) else json.dumps([low, high])
