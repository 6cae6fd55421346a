"""The studies that `shared_prefixes` compares on, each with a task that is small enough for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from search_spaces.lr_sequence import lr_sequence
from search_spaces.study import Study
from search_spaces.study import study as find_study
from thaw.sample_set import write_sample_set

Targets = Mapping[str, tuple[str, float]]

_MOONS = str(Path(__file__).parent.parent / "docs" / "own" / "moons_system.py")
_FASTER: Targets = {"wall_ratio": (">=", 4.0)}
_GRIDS: Targets = {
    "sh_ratio_last_stage": (">=", 4.7),
    "sh_two_ratio_last_stage": (">=", 6.77),
}
_SCENES, _SCENE_PX = 16, 64


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison."""

    study: Study
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Configuration of the task that is trained."""
    planned: Mapping[str, Any] | None = None
    """Configuration of which a plan is made as well, at its full lengths; none of it is trained."""
    raced: int = 0
    """Number of trials under ASHA; 0 is none."""
    grids_of: str | None = None
    """System whose grids of `lr_sequence` are halved."""
    targets: Targets = field(default_factory=dict)
    """Figure -> its target, besides those of every case."""


def _unfreeze_timing(folder: Path) -> Case:
    return Case(
        study=find_study("unfreeze_timing"),
        raced=64,
        targets={**_FASTER, "asha_ratio_careful": (">=", 2.0)},
    )


def _lr_sequence(folder: Path) -> Case:
    targets = {**_FASTER, **_GRIDS}
    return Case(study=find_study("lr_sequence"), grids_of="classifier", targets=targets)


def _stage2_lr(folder: Path) -> Case:
    """Return the sample preset on a dozen images, with its own network, sizes and lengths.

    The plan is that of the full preset; what is left out of it, sizes and weights, has no part in
    the number of segments.
    """
    data = folder / "camouflage"
    console = Console(quiet=True)
    write_sample_set(data, num=_SCENES, difficulty=0.4, size=_SCENE_PX, seed=0, console=console)
    return Case(
        study=find_study("stage2_lr"),
        fields={"data": str(data), "image_size": _SCENE_PX},
        planned={"preset": "full", "data": str(data), "image_size": 32, "weights": "none"},
        raced=24,
        targets={"planned_ratio_naive": (">=", 2.5)},
    )


def _cyclic_lambda(folder: Path) -> Case:
    """Return the sample preset on a tenth of its faces, with its own lengths and batches."""
    return Case(
        study=find_study("cyclic_lambda"),
        fields={"identities": 8, "images": 4},
        planned={"preset": "full", "identities": 8, "images": 2},
        targets={"planned_ratio_naive": (">=", 3.0)},
    )


def _training_length(folder: Path) -> Case:
    """Return the sample preset with half of its iterations."""
    return Case(study=find_study("training_length"), fields={"base_iterations": 40})


def _as_it_is(name: str) -> Callable[[Path], Case]:
    """Return what makes the case of a study on the embedded digits, of which nothing is shrunk."""
    return lambda folder: Case(study=find_study(name))


CASES: dict[str, Callable[[Path], Case]] = {
    "unfreeze_timing": _unfreeze_timing,
    "lr_sequence": _lr_sequence,
    "stage2_lr": _stage2_lr,
    "cyclic_lambda": _cyclic_lambda,
    "training_length": _training_length,
    "progressive": _as_it_is("progressive"),
    "from_recipes": _as_it_is("from_recipes"),
    "unfreeze_rule": _as_it_is("unfreeze_rule"),
}
"""Study -> what makes its case; a folder for its data is given."""


def tiny() -> Case:
    """Return a case of seconds: `lr_sequence` on two moons."""
    return Case(study=lr_sequence(_MOONS), raced=8, grids_of=_MOONS, targets=_GRIDS)
