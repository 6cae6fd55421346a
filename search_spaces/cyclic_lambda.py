"""Which loss weights, LR and length in the cycles, and how many cycles, pay?

The first DSR and the first fine-tuning of EdgeFace are the trunk of all trials. Full retrains have
no dimension but their number, so that all of them lie on one path.
"""

from __future__ import annotations

from dataclasses import replace

from search_spaces.dimensions import Ask, Choice, Int, Real
from search_spaces.study import Study
from trainables.cyclic_recipes import HOURS_PER_EPOCH, TABLES, cost_table, cyclic_schedule
from training.cyclic_config import CyclicConfig
from training.errors import UserError
from training.schedule import Schedule

STRATEGY = Choice(
    name="strategy",
    values=("no_cycle", "cyclic", "full_retrain"),
    unit="strategy",
    help="what follows the first two models: nothing, cycles, or DSR from scratch each time",
)
_CYCLES_ONLY = replace(STRATEGY, values=STRATEGY.values[1:])
"""Where the first two models are given, and nothing would be trained without a cycle."""
CYCLES = Int(name="cycles", low=1, high=3, unit="cycles", help="DSR and EdgeFace once more each")
L1 = Real(name="lambda_l1", low=0.4, high=1.2, unit="weight", help="of L1 in cycles")
IDENTITY = Real(
    name="lambda_identity",
    low=0.05,
    high=1.0,
    log=True,
    unit="weight",
    help="of the cosine distance of embeddings in cycles",
)
FEATURES = Real(
    name="lambda_feature_match",
    low=0.02,
    high=0.5,
    log=True,
    unit="weight",
    help="of the recogniser's intermediate features in cycles",
)
PERCEPTUAL = Real(
    name="lambda_perceptual",
    low=0.0,
    high=0.05,
    unit="weight",
    help="of the perceptual loss in cycles; only where its network has weights",
)
VARIATION = Real(
    name="lambda_total_variation",
    low=5e-7,
    high=1e-5,
    log=True,
    unit="weight",
    help="of total variation in cycles",
)
CYCLIC_LR = Real(
    name="cyclic_lr",
    low=0.15,
    high=1.0,
    log=True,
    unit="x initial LR",
    help="LR of DSR in cycles",
)
LENGTH = Choice(
    name="cyclic_length",
    values=(0.3, 0.4, 0.5),
    unit="x initial epochs",
    help="epochs of DSR in each cycle",
)


def space(ask: Ask, config: CyclicConfig, seed: int) -> Schedule:
    """Return the trunk, and what a strategy adds to it."""
    pinned = ask.pinned(PERCEPTUAL)
    if config.perceptual == "none" and pinned:
        raise UserError(
            f"--set lambda_perceptual={pinned:g}: must be 0: there are no weights for its network; "
            "set perceptual to a file with VGG-16 weights, or to edgeface"
        )
    strategy = ask(_CYCLES_ONLY if config.finetuned else STRATEGY)
    if strategy == "no_cycle":
        return cyclic_schedule(config, seed=seed, strategy=strategy)
    cycles = ask(CYCLES)
    if strategy == "full_retrain":
        return cyclic_schedule(config, seed=seed, strategy=strategy, cycles=cycles)
    lambdas = {
        "l1": ask(L1),
        "identity": ask(IDENTITY),
        "feature_match": ask(FEATURES),
        "total_variation": ask(VARIATION),
    }
    if config.perceptual != "none":
        lambdas["perceptual"] = ask(PERCEPTUAL)
    tables = TABLES[config.preset]
    row = replace(
        tables.cyclic,
        lr=ask(CYCLIC_LR) * tables.initial.lr,
        epochs=max(1, round(ask(LENGTH) * tables.initial.epochs)),
        lambdas=lambdas,
    )
    return cyclic_schedule(config, seed=seed, strategy=strategy, cycles=cycles, cyclic=row)


_SOURCE = {
    "lambda_l1": 0.8,
    "lambda_identity": 0.65,
    "lambda_feature_match": 0.20,
    "lambda_total_variation": 2e-6,
    "lambda_perceptual": 0.015,
    "cyclic_lr": 8 / 15,
}
STUDY = Study(
    name="cyclic_lambda",
    question="Which loss weights, LR and length in the cycles, and how many cycles, pay?",
    system="cyclic",
    dimensions=(
        STRATEGY,
        CYCLES,
        L1,
        IDENTITY,
        FEATURES,
        VARIATION,
        PERCEPTUAL,
        CYCLIC_LR,
        LENGTH,
    ),
    space=space,
    points=(
        {"strategy": "cyclic", "cycles": 1, **_SOURCE, "cyclic_length": 0.5},
        {"strategy": "cyclic", "cycles": 2, **_SOURCE, "cyclic_length": 0.5},
        {"strategy": "no_cycle"},
        {"strategy": "full_retrain", "cycles": 1},
    ),
    max_epochs=540,
    grace_epochs=10,
    allows=lambda config, point: not config.finetuned or point["strategy"] != "no_cycle",
    strategies=cost_table,
    hours_per_epoch=lambda config: HOURS_PER_EPOCH.get(config.preset, {}),
)
