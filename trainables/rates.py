"""Discriminative learning rates: multipliers of the layer groups, from the head to the stem.

A table is what `Stage.groups` takes: layer group -> multiplier of the stage's LR, or "frozen".
Layer groups are those of `training.layers`: the stem first, blocks in order, the head last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from training.errors import unknown
from training.schedule import Multiplier

Groups = dict[str, Multiplier]
Rates = Callable[[Sequence[str]], Groups]

_BY_DISTANCE = (1.0, 0.3, 0.2, 0.1)
_FURTHER = 0.05
SLICE_FACTOR = 100.0
"""fastai's `lr_mult`: the stem's LR is that of the head divided by it."""
ULMFIT_FACTOR = 2.6


def playbook(layers: Sequence[str]) -> Groups:
    """Return the playbook's: head 1.0, the blocks behind it 0.3, 0.2, 0.1, all else 0.05.

    In a ResNet that is layer4 0.3, layer3 0.2, layer2 0.1, stem and layer1 0.05, as the project's
    source documents say; other models have them by distance from the head.
    """
    far = len(layers) - len(_BY_DISTANCE)
    near: Groups = dict(zip(reversed(layers), _BY_DISTANCE, strict=False))
    return near | {layer: _FURTHER for layer in reversed(layers[: max(0, far)])}


def geometric(layers: Sequence[str], factor: float) -> Groups:
    """Return even ratios from 1 / `factor` at the stem to 1 at the head.

    As fastai spreads `slice(lr / factor, lr)` over parameter groups (`even_mults` of fastcore);
    one group alone has 1.
    """
    steps = max(1, len(layers) - 1)
    return {layer: factor ** (-depth / steps) for depth, layer in enumerate(reversed(layers))}


def slice_rates(layers: Sequence[str]) -> Groups:
    """Return fastai's slice with the factor of its `fine_tune`, 100."""
    return geometric(layers, SLICE_FACTOR)


def ulmfit(layers: Sequence[str]) -> Groups:
    """Return ULMFiT's: each group has that of the one behind it, divided by 2.6.

    Howard and Ruder, arXiv 1801.06146, section 3.2.
    """
    return {layer: ULMFIT_FACTOR**-depth for depth, layer in enumerate(reversed(layers))}


def uniform(layers: Sequence[str]) -> Groups:
    """Return 1 for all groups."""
    return dict.fromkeys(reversed(layers), 1.0)


RATES: Mapping[str, Rates] = {
    "playbook": playbook,
    "slice": slice_rates,
    "ulmfit": ulmfit,
    "uniform": uniform,
}
"""Named choices of multipliers."""


def rates(name: str) -> Rates:
    """Return multipliers by name; raise `UserError` for one that is not in `RATES`."""
    if name not in RATES:
        raise unknown("rates", name, RATES)
    return RATES[name]


def last_blocks(groups: Groups, layers: Sequence[str], num_blocks: int) -> Groups:
    """Return `groups` with all frozen but the head and the last `num_blocks` before it."""
    trained = layers[-1 - num_blocks :] if num_blocks < len(layers) else layers
    return only(groups, trained)


def only(groups: Groups, trained: Sequence[str]) -> Groups:
    """Return `groups` with all frozen but `trained`."""
    kept: Groups = {layer: value for layer, value in groups.items() if layer in trained}
    return kept if len(kept) == len(groups) else kept | {"*": "frozen"}
