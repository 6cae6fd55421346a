"""Known ways of fine-tuning as schedules: the project's playbook, ULMFiT, fastai, Lightning,
finetuning-scheduler.

Each takes a situation and the epochs on the target task, and returns a schedule without
pretraining. What a library leaves to its user (the batch size, often the optimizer) has the
defaults of `Stage`, the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainables.rates import last_blocks, playbook, slice_rates, ulmfit, uniform
from trainables.situation import Situation
from training.curves import Constant, OneCycle
from training.optimizers import AdamW
from training.rules import Plateau, Rule
from training.schedule import Schedule, Stage

_LIGHTNING_EPOCH = 10
_LIGHTNING_RATIO = 0.1
_LIGHTNING_GROWTH = 2.0


def by_playbook(situation: Situation, epochs: int) -> Schedule:
    """Head, then the last block with it, then everything with a one-cycle.

    Of 16 epochs 2, 4 and 10: the middle of 1-3, 2-5 and 5-20. Rates as in `rates.playbook`,
    AdamW with weight decay 1e-4, BatchNorm of frozen groups fixed. Source: the project's source
    documents (`shared/spec/transfer.md`, playbook).
    """
    num_head, num_partial = _share(epochs, 2 / 16), _share(epochs, 4 / 16)
    groups = playbook(situation.layers)
    return _schedule(
        _head(situation, num_head, 5e-3),
        {
            "name": "partial",
            "epochs": num_partial,
            "lr": 1e-3,
            "groups": last_blocks(groups, situation.layers, 1),
            "batchnorm": "eval_frozen",
        },
        {
            "name": "full",
            "epochs": epochs - num_head - num_partial,
            "lr": 1e-3,
            "groups": groups,
            "curve": OneCycle(),
        },
    )


def straight(situation: Situation, epochs: int) -> Schedule:
    """Head, then everything at once with the playbook's rates and a one-cycle.

    Of 12 epochs 3 and 9. Source: the project's source documents (straight to full).
    """
    num_head = _share(epochs, 3 / 12)
    return _schedule(
        _head(situation, num_head, 5e-3),
        {
            "name": "full",
            "epochs": epochs - num_head,
            "lr": 1e-3,
            "groups": playbook(situation.layers),
            "curve": OneCycle(),
        },
    )


def gradual(situation: Situation, epochs: int) -> Schedule:
    """Gradual unfreezing of ULMFiT: one more layer group each epoch, the last stage trains all.

    Discriminative rates (2.6 from group to group) and a slanted triangular curve in each stage
    (`cut_frac` 0.1, `ratio` 32), LR 0.01 with Adam at betas 0.7 and 0.99, as for its classifiers.
    ULMFiT has no BatchNorm: that of frozen groups is fixed here. Source: Howard and Ruder,
    Universal Language Model Fine-tuning for Text Classification, arXiv 1801.06146, sections 3.2,
    3.3 and 4.1.
    """
    layers, groups = situation.layers, ulmfit(situation.layers)
    stages = [
        {
            "name": f"from {layers[-1 - depth]}",
            "epochs": 1 if depth + 1 < len(layers) else epochs - depth,
            "lr": 0.01,
            "groups": last_blocks(groups, layers, depth),
            "curve": OneCycle(rise=0.1, start_div=32, end_div=1, anneal="linear"),
            "optimizer": AdamW(beta1=0.7, beta2=0.99),
            "batchnorm": "eval_frozen",
        }
        for depth in range(len(layers))
    ]
    return _schedule(*stages)


def fastai(situation: Situation, epochs: int) -> Schedule:
    """`Learner.fine_tune(epochs - 1)` of fastai with its defaults.

    One epoch of the head at `base_lr` 2e-3 (one-cycle with `pct_start` 0.99, `div` 25), then
    everything at half of it, spread as `slice(lr / 100, lr)` over the layer groups (`pct_start`
    0.3, `div` 5); both cycles end at LR / 1e5. Its Adam has weight decay 0.01, `sqr_mom` 0.99 and
    eps 1e-5; unfreezing clears its state. BatchNorm follows the data all along (`train_bn`).
    Not reproduced: the cycle of the momentum (0.95, 0.85, 0.95), the BatchNorm weights of frozen
    groups (which fastai trains), no decay of norms and biases. Source: fastai 2,
    `callback/schedule.py` (`fine_tune`, `fit_one_cycle`), `optimizer.py` (`Adam`),
    https://docs.fast.ai/callback.schedule.html
    """
    base_lr = 2e-3
    adam = {"optimizer": AdamW(weight_decay=0.01, beta2=0.99, eps=1e-5), "batchnorm": "train"}
    return _schedule(
        _head(situation, 1, base_lr, curve=_fastai_cycle(rise=0.99, div=25.0), **adam),
        {
            "name": "full",
            "epochs": epochs - 1,
            "lr": base_lr / 2,
            "groups": slice_rates(situation.layers),
            "curve": _fastai_cycle(rise=0.3, div=5.0),
            **adam,
        },
    )


def lightning(situation: Situation, epochs: int) -> Schedule:
    """`BackboneFinetuning` of Lightning with its defaults.

    The backbone thaws at epoch 10 (in the middle where fewer than 15 are trained) at 0.1 of the
    LR, which doubles each epoch until it has aligned with the head's. The optimizer goes on
    throughout and BatchNorm follows the data (`train_bn`). Lightning leaves LR, curve and
    optimizer to its user: here 1e-3, constant, AdamW. Source:
    `lightning/pytorch/callbacks/finetuning.py`, version 2 (`unfreeze_backbone_at_epoch=10`,
    `backbone_initial_ratio_lr=0.1`, `multiplicative` 2.0, `should_align=True`).
    """
    begin = _LIGHTNING_EPOCH if epochs >= 15 else max(1, epochs // 2)
    head, *backbone = uniform(situation.layers)
    stages = [_head(situation, begin, 1e-3, batchnorm="train")]
    ratio, left = _LIGHTNING_RATIO, epochs - begin
    while left:
        length = 1 if ratio < 1 else left
        stages.append(
            {
                "name": f"backbone x {ratio:g}",
                "epochs": length,
                "lr": 1e-3,
                "groups": {head: 1.0, **dict.fromkeys(backbone, ratio)},
                "keep_optimizer": True,
            }
        )
        left -= length
        ratio = min(1.0, ratio * _LIGHTNING_GROWTH)
    return _schedule(*stages)


def implicit(situation: Situation, epochs: int) -> Schedule:
    """Return the implicit schedule of finetuning-scheduler, by layer groups.

    Phases thaw from the head to the stem, each group at `base_max_lr` 1e-5 while the head keeps its
    LR (here 1e-3); the optimizer goes on. A phase ends when the validation loss has not improved
    for 3 epochs, and after its share of `epochs` at the latest, which must be more than 4 for that.
    In the library a phase thaws two parameters, here a layer group. Not reproduced: going on from
    the phase's best checkpoint (`restore_best`). Source: finetuning-scheduler 2, `fts.py` and
    `fts_supporters.py` (`gen_ft_schedule`, `base_max_lr=1e-5`, `FTSEarlyStopping`, whose patience
    3 and `min_delta` 0 are those of Lightning's `EarlyStopping`).
    """
    stop = Rule(any=(Plateau(metric="val_loss", mode="min", min_delta=0.0, patience=3),))
    layers = situation.layers
    lengths = _even(epochs, len(layers))
    groups = {layer: 1.0 if layer == layers[-1] else 0.01 for layer in reversed(layers)}
    stages = [
        {
            "name": f"from {layers[-1 - depth]}",
            "epochs": length,
            "lr": 1e-3,
            "groups": last_blocks(dict(groups), layers, depth),
            "keep_optimizer": depth > 0,
            "until": stop if length > stop.needs else None,
        }
        for depth, length in enumerate(lengths)
    ]
    return _schedule(*stages)


def full(situation: Situation, epochs: int) -> Schedule:
    """Everything from the first epoch at one rate, one-cycle: plain fine-tuning."""
    return _everything("full", situation, epochs)


def scratch(situation: Situation, epochs: int) -> Schedule:
    """Everything from random weights at one rate, one-cycle: what transfer has to beat."""
    return _everything("scratch", situation, epochs)


def _everything(name: str, situation: Situation, epochs: int) -> Schedule:
    groups = uniform(situation.layers)
    return _schedule(
        {"name": name, "epochs": epochs, "lr": 4e-3, "groups": groups, "curve": OneCycle()}
    )


def _fastai_cycle(*, rise: float, div: float) -> OneCycle:
    """Return fastai's one-cycle, which ends at LR / 1e5 whatever `div` is."""
    return OneCycle(rise=rise, start_div=div, end_div=1e5 / div)


def _head(situation: Situation, epochs: int, lr: float, **fields: Any) -> dict[str, Any]:
    return {
        "name": "head",
        "epochs": epochs,
        "lr": lr,
        "groups": last_blocks(uniform(situation.layers), situation.layers, 0),
        "batchnorm": "eval_frozen",
    } | fields


def _schedule(*stages: dict[str, Any]) -> Schedule:
    constant = {"curve": Constant()}
    return Schedule(stages=tuple(Stage.parse(constant | stage) for stage in stages))


def _share(epochs: int, share: float) -> int:
    return max(1, round(epochs * share))


def _even(epochs: int, num: int) -> Sequence[int]:
    """Return `num` lengths that add up to `epochs`, the longer ones last."""
    return [epochs // num + (index >= num - epochs % num) for index in range(num)]
