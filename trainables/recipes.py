"""Recipes: known ways of fine-tuning by name, each a schedule for any timm model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from trainables import known, starting
from trainables.classifier import pretraining
from trainables.progressive import fitted, progressive, read_table, shipped
from trainables.situation import SAMPLE_EPOCHS, Situation, situation_of
from training.classification import ClassifierConfig
from training.curves import Constant
from training.errors import UserError, unknown
from training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A way of fine-tuning."""

    what: str
    """In a few words."""
    source: str
    """Where it comes from."""
    make: Callable[[Situation, int], Schedule]
    """(situation, epochs on the target task) -> schedule without pretraining."""
    default_epochs: Callable[[Situation], int] = lambda situation: SAMPLE_EPOCHS
    """Epochs on the target task where nobody says."""
    least_epochs: Callable[[Situation], int] = lambda situation: 3
    pretrained: bool = True
    """It starts from pretrained weights; else from random ones."""


def recipe_schedule(
    name: str, config: ClassifierConfig, *, seed: int, epochs: int | None = None
) -> Schedule:
    """Return the schedule of a recipe, or of a YAML file with a table of progressive stages.

    `epochs` are those on the target task. The embedded data have the pretraining before it; a
    recipe from scratch has none. A user's own table is taken as it stands. Raises `UserError` for
    an unknown name, too few epochs, and pretrained weights for a recipe from scratch.
    """
    situation = situation_of(config)
    if name.endswith((".yaml", ".yml")):
        if epochs is not None:
            raise UserError(f"--epochs {epochs}: a table says its own: {name}")
        return _whole(progressive(read_table(name), situation, name), config, seed)
    if name not in RECIPES:
        raise unknown("recipe", name, (*RECIPES, "the path of a YAML file with a stage table"))
    found = RECIPES[name]
    if not found.pretrained and not _random(config):
        raise UserError(f"recipe {name}: starts from random weights; allowed: weights=none")
    least = found.least_epochs(situation)
    if epochs is not None and epochs < least:
        raise UserError(f"--epochs {epochs}: recipe {name} needs at least {least} with this model")
    made = found.make(situation, epochs or found.default_epochs(situation))
    return _whole(made, config, seed, pretrained=found.pretrained)


def recipes_for(config: ClassifierConfig) -> list[str]:
    """Return the names of the recipes that fit the starting weights of `config`."""
    return [name for name, recipe in RECIPES.items() if recipe.pretrained or _random(config)]


def _random(config: ClassifierConfig) -> bool:
    return config.weights == "none"


def _whole(
    made: Schedule, config: ClassifierConfig, seed: int, *, pretrained: bool = True
) -> Schedule:
    """Put the pretraining before a schedule; it has no part in a curve over all stages."""
    before = pretraining(config) if pretrained else ()
    own = (stage.model_copy(update={"curve": Constant()}) for stage in before)
    return made.model_copy(update={"seed": seed, "stages": (*own, *made.stages)})


def _groups(situation: Situation) -> int:
    return len(situation.layers)


def _table(name: str, situation: Situation, epochs: int) -> Schedule:
    return progressive(fitted(shipped(name), situation, epochs), situation)


def _table_epochs(name: str, situation: Situation) -> int:
    return fitted(shipped(name), situation).epochs


def _progressive(name: str, what: str, *, pretrained: bool = True) -> Recipe:
    return Recipe(
        what=what,
        source="project's source documents, table",
        make=partial(_table, name),
        default_epochs=partial(_table_epochs, name),
        pretrained=pretrained,
    )


_DOCUMENTS = "project's source documents"
RECIPES: Mapping[str, Recipe] = {
    "playbook": Recipe(
        what="head, last block, everything; one-cycle",
        source=_DOCUMENTS,
        make=known.by_playbook,
    ),
    "straight": Recipe(
        what="head, everything; one-cycle",
        source=_DOCUMENTS,
        make=known.straight,
        default_epochs=lambda situation: 12,
    ),
    "full": Recipe(
        what="everything from the first epoch at one rate; one-cycle",
        source="plain fine-tuning",
        make=known.full,
    ),
    "gradual": Recipe(
        what="one more layer group each epoch, slanted triangles",
        source="ULMFiT, arXiv 1801.06146",
        make=known.gradual,
        default_epochs=lambda situation: max(SAMPLE_EPOCHS, _groups(situation) + 2),
        least_epochs=_groups,
    ),
    "fastai": Recipe(
        what="fine_tune: head for an epoch, everything at half the LR, sliced",
        source="fastai 2, callback/schedule.py",
        make=known.fastai,
    ),
    "lightning": Recipe(
        what="BackboneFinetuning: thaw at epoch 10, backbone LR doubles until aligned",
        source="Lightning 2, callbacks/finetuning.py",
        make=known.lightning,
    ),
    "finetuning_scheduler": Recipe(
        what="implicit schedule: a phase for each layer group, ended by early stopping",
        source="finetuning-scheduler, fts.py",
        make=known.implicit,
        default_epochs=lambda situation: 5 * _groups(situation),
        least_epochs=_groups,
    ),
    "progressive_unfreeze": _progressive("unfreeze", "more data, larger images, more blocks"),
    "progressive_freeze": _progressive("freeze", "more data, larger images, fewer blocks"),
    "progressive_scratch": _progressive(
        "scratch", "more data, larger images, from random weights", pretrained=False
    ),
    "scratch": Recipe(
        what="everything from random weights; one-cycle",
        source="the control of any transfer",
        make=known.scratch,
        pretrained=False,
    ),
    "auto": Recipe(
        what="head for as long as the number of images suggests, everything",
        source=_DOCUMENTS,
        make=starting.auto,
    ),
    "auto_far": Recipe(
        what="as auto for very different images: last block between, BatchNorm fixed",
        source=_DOCUMENTS,
        make=starting.auto_far,
        default_epochs=lambda situation: 20,
    ),
}
"""Recipe by name."""
