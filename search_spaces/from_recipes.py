"""Which known recipe is best, and at which rates? The search starts from the recipes themselves.

Each recipe as it stands is tried first; what the search finds has to beat them on equal epochs.
Nobody is stopped before epoch 12: some recipes have thawed nothing before epoch 10.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.dimensions import Ask, Choice, Real
from search_spaces.study import Study
from trainables.recipes import RECIPES, recipe_schedule
from trainables.situation import situation_of
from training.classification import ClassifierConfig, layer_groups
from training.schedule import Multiplier, Schedule, Stage

RECIPE = Choice(
    name="recipe",
    values=tuple(name for name, recipe in RECIPES.items() if recipe.pretrained),
    unit="name",
    help="known way of fine-tuning, see `thaw recipes`",
)
SMOOTHING = Choice(
    name="label_smoothing",
    values=(0.0, 0.1),
    unit="share",
    help="at least so much of each label is spread over all classes",
)
LR_FACTOR = Choice(
    name="lr_factor",
    values=(1.0, 2.0, 4.0, 0.5),
    unit="x LR",
    help="on the learning rates of all stages of the recipe",
)
BACKBONE_FACTOR = Real(
    name="backbone_factor",
    low=0.25,
    high=8.0,
    log=True,
    unit="x LR",
    help="besides, on those of all groups but the head; none gets above the head's",
)
EPOCHS = 16


def space(ask: Ask, config: ClassifierConfig, seed: int) -> Schedule:
    """Return a recipe with other rates, 16 epochs long unless the recipe needs more."""
    name, smoothing, factor = ask(RECIPE), ask(SMOOTHING), ask(LR_FACTOR)
    backbone = ask(BACKBONE_FACTOR)
    epochs = max(EPOCHS, RECIPES[name].least_epochs(situation_of(config)))
    recipe = recipe_schedule(name, config, seed=seed, epochs=epochs)
    *layers, _ = layer_groups(config)
    factors = dict.fromkeys(layers, backbone)
    stages = (
        _changed(stage, smoothing, factor, factors) if stage.data == recipe.objective else stage
        for stage in recipe.stages
    )
    return recipe.model_copy(update={"stages": tuple(stages)})


def _changed(stage: Stage, smoothing: float, factor: float, factors: Mapping[str, float]) -> Stage:
    groups = {row: _scaled(value, factors.get(row, 1.0)) for row, value in stage.groups.items()}
    loss = dict(stage.loss)
    if smoothing:
        loss["label_smoothing"] = max(smoothing, loss.get("label_smoothing", 0.0))
    return stage.model_copy(update={"lr": stage.lr * factor, "groups": groups, "loss": loss})


def _scaled(value: Multiplier, factor: float) -> Multiplier:
    return value if value == "frozen" else min(value * factor, max(value, 1.0))


STUDY = Study(
    name="from_recipes",
    question="Which known recipe is best, and at which rates?",
    system="classifier",
    dimensions=(RECIPE, SMOOTHING, LR_FACTOR, BACKBONE_FACTOR),
    space=space,
    points=tuple(
        {"recipe": name, "label_smoothing": 0.0, "lr_factor": 1.0, "backbone_factor": 1.0}
        for name in RECIPE.values
    ),
    max_epochs=EPOCHS,
    grace_epochs=12,
)
