"""Fused training: trials that train only a classifier on one backbone, in one pass over the data.

Such trials draw the same examples in the same order and the same random numbers, since those hang
on the seed and the number of the segment. The frozen backbone runs once for each batch; every trial
has its own classifier, loss, optimizer and average. What is done for one trial alone is the same
operation on tensors of the same shape as in `training.segment`, not a batched one: batched matrix
products round in other places. So a trial's outcome is that of training it alone, on the CPU to the
last bit, and carries the same key.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from training.features import evaluated, have_features
from training.live import Live
from training.order import epoch_order
from training.pulse import beat
from training.randomness import derive, generator
from training.residence import batches
from training.segment import add, expect_of, precision_of, split
from training.settings import Compute, Settings
from training.task import Task, Totals

_NUMBERS = frozenset({"lrs", "optimizer", "loss", "clip_norm"})
"""Settings in which fused trials may differ."""
_COMPUTE = ("precision", "channels_last", "cache_features")
"""Settings of the arithmetic that fused training follows."""


@runtime_checkable
class Separable(Task, Protocol):
    """A task whose losses can be taken of the logits, apart from the model: what fusing needs.

    `loss` is `train_loss` of `train_batch`, `evaluate` the sum of `val_totals` over `val_batches`.
    """

    def train_batch(self, chosen: Tensor, draws: Tensor, settings: Settings) -> tuple[Tensor, Any]:
        """Return the model's input for the training examples `chosen`, and their labels."""

    def train_loss(self, logits: Tensor, labels: Any, settings: Settings) -> tuple[Tensor, Totals]:
        """Return the mean loss of (B, classes) `logits`, and totals to record."""

    def val_batches(self, settings: Settings, rank: int) -> Iterator[tuple[Tensor, Any]]:
        """Yield the model's input for batches of validation examples, and their labels."""

    def val_totals(self, logits: Tensor, labels: Any, settings: Settings) -> Totals:
        """Return the totals of a batch of validation examples from (B, classes) `logits`."""


class NotTogether(ValueError):
    """Segments that were to be trained in one pass cannot be."""


def can_fuse(settings: Sequence[Settings], task: Task, model: nn.Module) -> str | None:
    """Return why segments with `settings` cannot be trained in one pass, or None where they can.

    `model` is the one that they train, in any state. That they go on from the same backbone is not
    looked at: see `same_backbone`.
    """
    return _differing(settings) or unfit(settings[0], task, model)


def shared(settings: Settings) -> tuple[object, ...]:
    """Return what all segments of one pass must be equal in: all but numbers, and their steps."""
    return (*(getattr(settings, name) for name in _names()), settings.num_steps)


def _differing(settings: Sequence[Settings]) -> str | None:
    first = settings[0]
    for each in settings:
        name = next((n for n in _names() if getattr(each, n) != getattr(first, n)), None)
        if name is not None:
            one, other = getattr(first, name), getattr(each, name)
            return f"{name}: must be the same for all, got {one!r} and {other!r}"
        if each.num_steps != first.num_steps:
            return f"lrs: all need as many steps, got {first.num_steps} and {each.num_steps}"
    return None


def unfit(settings: Settings, task: Task, model: nn.Module) -> str | None:
    """Return what keeps a segment from being fused, whatever the others are, or None."""
    if not isinstance(task, Separable):
        return f"{task.name} does not take its losses apart from its model"
    return _alone(settings) or _not_only_classifier(settings, task, model)


def _names() -> list[str]:
    return [field.name for field in fields(Settings) if field.name not in _NUMBERS]


def _alone(settings: Settings) -> str | None:
    known = Compute(**{name: getattr(settings.compute, name) for name in _COMPUTE})
    for name in Compute.model_fields:
        value = getattr(settings.compute, name)
        if value != getattr(known, name):
            return f"compute.{name}: {value!r} is not done fused"
    if settings.restart:
        return "restart: each trial begins with a backbone of its own"
    if settings.place.world_size > 1:
        return "world_size: several processes train one trial"
    return None


def _not_only_classifier(settings: Settings, task: Task, model: nn.Module) -> str | None:
    name = classifier_of(model)
    if name is None:
        return f"model {settings.model!r}: its classifier is not one linear layer"
    layers = task.layers()[settings.model]
    trained = {
        n for layer, value in settings.multipliers if value is not None for n in layers[layer]
    }
    more = sorted(trained - own_of(model))
    if more:
        return f"{more[0]} is trained too, besides the classifier {name!r}"
    if trained != own_of(model):
        return f"the classifier {name!r} is not trained as a whole"
    return None


def classifier_of(model: nn.Module) -> str | None:
    """Return the name of the one linear layer that a timm model calls its classifier, or None."""
    found = getattr(model, "get_classifier", lambda: None)()
    if not isinstance(found, nn.Linear):
        return None
    names = {module: name for name, module in model.named_modules()}
    return names.get(found)


def own_of(model: nn.Module) -> frozenset[str]:
    """Return the names of the parameters of the classifier."""
    name = classifier_of(model)
    assert name is not None  # `can_fuse` has refused it
    return frozenset(f"{name}.{part}" for part, _ in model.get_submodule(name).named_parameters())


def train_fused(
    lives: Sequence[Live], task: Separable, settings: Sequence[Settings], seed: int
) -> list[Totals]:
    """Train one segment of each trial; return the totals of each.

    `lives` share their backbone (`sibling`) and `can_fuse` holds of `settings`, one for each. Does
    for each what `train_segment` does, in the same order. Nothing in the loop waits for the device.
    """
    first = settings[0]
    for live, each in zip(lives, settings, strict=True):
        live.prepare(each)
    _share_average(lives)
    autocast = precision_of(lives[0], first)
    have_features(lives[0], task, first, seed, autocast)
    models = [live.models[first.model] for live in lives]
    fork = _Fork(models, on_features=first.compute.cache_features)
    order = epoch_order(task, first, seed)[: first.num_steps * first.batch_size]
    draws = generator(seed, first.index, "draws", lives[0].device)
    torch.manual_seed(derive(seed, first.index, "dropout"))
    parts = lives[0].micro_batches(first)
    totals: list[Totals] = [{} for _ in lives]
    expect = expect_of(task, first)
    for step, chosen in enumerate(batches(order, first.batch_size, lives[0].device, expect)):
        beat()
        drawn = task.draw(chosen, first, draws)
        micro = list(zip(split(chosen, parts), split(drawn, parts), strict=True))
        for own, sums in zip(
            totals, _gradients(fork, task, micro, settings, autocast), strict=True
        ):
            add(own, sums)
        for live, each in zip(lives, settings, strict=True):
            _step(live, each, step)
        if first.ema_decay is not None:
            _average(lives, first.model, first.ema_decay)
    return totals


@torch.no_grad()
def evaluate_fused(
    lives: Sequence[Live], task: Separable, settings: Sequence[Settings]
) -> list[Totals]:
    """Return the totals over the validation examples of each trial."""
    autocast = precision_of(lives[0], settings[0])
    _, seen = evaluated(lives[0], task, settings[0], autocast)
    models = [live.evaluated(s)[s.model] for live, s in zip(lives, settings, strict=True)]
    fork = _Fork(models, on_features=seen.compute.cache_features)
    totals: list[Totals] = [{} for _ in lives]
    with autocast:
        for images, labels in task.val_batches(seen, 0):
            for own, logits, each in zip(totals, fork(images), settings, strict=True):
                add(own, task.val_totals(logits, labels, each))
    return totals


def sibling(live: Live, first: Live, model: str) -> Live:
    """Return a copy of `live` that has the backbone of `first`, and its average, for its own.

    Of `model`, only the classifier is copied. `same_backbone` must hold of the two.
    """
    return live.twin(_backbones(live, first, model))


def same_backbone(one: Live, other: Live, model: str) -> bool:
    """Tell whether two live states are the same but for the classifier of `model`, bit for bit."""
    if (one.averaged is None) != (other.averaged is None):
        return False
    return all(torch.equal(a, b) for a, b in _backbones(one, other, model))


def _backbones(one: Live, other: Live, model: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of tensors of two live states, but for the classifier of `model`."""
    own = own_of(one.models[model])
    parts: list[tuple[nn.Module, nn.Module, set[str]]] = [
        (one.models, other.models, {f"{model}.{name}" for name in own})
    ]
    if one.averaged is not None and other.averaged is not None:
        parts.append((one.averaged, other.averaged, set(own)))
    for left, right, left_out in parts:
        theirs = _tensors(right)
        for name, tensor in _tensors(left).items():
            if name not in left_out:
                yield tensor, theirs[name]


class _Fork:
    """The backbone of one model with the classifiers of many."""

    def __init__(self, models: Sequence[nn.Module], *, on_features: bool) -> None:
        """Take the backbone of the first of `models`, unless features are kept, and each head."""
        name = classifier_of(models[0])
        assert name is not None  # `can_fuse` has refused it
        self._tap = _Tap()
        self._backbone = None if on_features else _with(models[0], name, self._tap)
        self._heads = [model.get_submodule(name) for model in models]

    def __call__(self, images: Tensor) -> Iterator[Tensor]:
        """Run the backbone once; yield the logits of each classifier, (B, classes).

        Where features are kept, `images` are those.
        """
        if self._backbone is None:
            return (head(images) for head in self._heads)
        features = self._backbone(images)
        seen, self._tap.seen = self._tap.seen, None
        if features is not seen:
            raise NotTogether("fused training: the model goes on after its classifier")
        return (head(features) for head in self._heads)


class _Tap(nn.Module):
    """Stands where the classifier was, and lets its input pass."""

    seen: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Return the features, (B, features), and remember them."""
        self.seen = features
        return features


def _gradients(
    fork: _Fork,
    task: Separable,
    micro: Sequence[tuple[Tensor, Tensor]],
    settings: Sequence[Settings],
    autocast: AbstractContextManager[object],
) -> list[Totals]:
    """Add up the gradients of one step of each trial; return the totals of each."""
    num = sum(len(examples) for examples, _ in micro)
    totals: list[Totals] = [{} for _ in settings]
    for examples, random in micro:
        if not len(examples):
            continue
        with autocast:
            images, labels = task.train_batch(examples, random, settings[0])
            found = [
                task.train_loss(logits, labels, each)
                for logits, each in zip(fork(images), settings, strict=True)
            ]
        share = len(examples) / num
        torch.autograd.backward([loss if share == 1 else loss * share for loss, _ in found])
        for own, (loss, sums) in zip(totals, found, strict=True):
            add(own, {**sums, "loss": loss.detach() * len(examples)})
    return totals


def _step(live: Live, settings: Settings, step: int) -> None:
    optimizer = live.optimizer
    assert optimizer is not None
    for group, lr in zip(optimizer.param_groups, settings.group_lrs(step), strict=True):
        group["lr"] = lr
    if settings.clip_norm is not None:
        model = live.models[settings.model]
        trainable = [p for p in model.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(trainable, settings.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def _average(lives: Sequence[Live], model: str, decay: float) -> None:
    """Move the average of the shared backbone once, and that of each classifier."""
    lives[0].average(decay)
    for live in lives[1:]:
        assert live.averaged is not None
        name = classifier_of(live.averaged)
        assert name is not None
        mean, new = (m.get_submodule(name) for m in (live.averaged, live.models[model]))
        torch._foreach_lerp_(list(mean.parameters()), list(new.parameters()), 1 - decay)


def _share_average(lives: Sequence[Live]) -> None:
    """Let all have the averaged backbone of the first, which is equal to theirs."""
    first = lives[0].averaged
    for live in lives[1:]:
        if first is not None and live.averaged is not None:
            name = classifier_of(first)
            assert name is not None
            live.averaged = _with(first, name, live.averaged.get_submodule(name))


def _with(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Return a model that shares all tensors of `model`, with `module` where `name` was."""
    memo: dict[int, Any] = {id(tensor): tensor for tensor in _tensors(model).values()}
    found = copy.deepcopy(model, memo)
    found.set_submodule(name, module)
    return found


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
