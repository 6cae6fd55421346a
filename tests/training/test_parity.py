"""A raw PyTorch loop gives exactly the weights of the core."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from math import cos, pi
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.helpers import NUM_CLASSES, TinyTask, run, same, schedule, stage, state
from training.classification import Classification, ClassifierConfig
from training.digits import load_digits
from training.randomness import derive, generator
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import walk

TINY = TinyTask()
LR, STEPS = 3e-3, 3  # steps per epoch: 48 images in batches of 16


@dataclass
class Span:
    """What a raw loop wants to know of a stage of two epochs."""

    factor: Callable[[int], float] = lambda t: 1.0
    groups: dict[str, float | None] = field(default_factory=lambda: {"": 1.0})  # by prefix
    optimizer: Callable[..., torch.optim.Optimizer] = lambda groups: torch.optim.AdamW(
        groups, lr=0.0, weight_decay=1e-4
    )
    keep: bool = False
    batchnorm: str = "train"
    accumulate: int = 1
    clip: float | None = None
    ema: float | None = None

    def multiplier(self, name: str) -> float | None:
        return next(value for prefix, value in self.groups.items() if name.startswith(prefix))


def raw_loop(
    model: nn.Module, images: Tensor, labels: Tensor, spans: list[Span], batch: int = 16
) -> tuple[nn.Module, nn.Module | None]:
    """Train `model` on (N, 3, H, W) uint8 `images`, as one writes it without a framework."""
    epochs, optimizer, averaged = count(), None, None
    for span in spans:
        if not span.keep:
            optimizer = span.optimizer([{"params": [p]} for p in model.parameters()])
        assert optimizer is not None
        multipliers = [span.multiplier(name) for name, _ in model.named_parameters()]
        for parameter, multiplier in zip(model.parameters(), multipliers, strict=True):
            parameter.requires_grad_(multiplier is not None)
        model.train()
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d) and span.batchnorm != "train":
                if span.batchnorm == "eval_all":
                    module.requires_grad_(False)
                if span.batchnorm == "eval_all" or span.multiplier(name) is None:
                    module.eval()
        averaged = deepcopy(model) if span.ema and averaged is None else averaged
        for epoch in range(2):
            shuffle = generator(0, next(epochs), "order")
            order = torch.randperm(len(images), generator=shuffle)
            for step in range(len(images) // batch):
                lr = LR * span.factor(epoch * (len(images) // batch) + step)
                for group, multiplier in zip(optimizer.param_groups, multipliers, strict=True):
                    group["lr"] = lr * (multiplier or 0.0)
                for part in order[step * batch :][:batch].chunk(span.accumulate):
                    pixels = (images[part].float() / 255 - 0.5) / 0.25
                    loss = F.cross_entropy(model(pixels), labels[part])
                    (loss / span.accumulate).backward()
                if span.clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), span.clip)
                optimizer.step()
                optimizer.zero_grad()
                if averaged is not None and span.ema is not None:
                    with torch.no_grad():
                        for mean, new in zip(tensors(averaged), tensors(model), strict=True):
                            mean.lerp_(new, 1 - span.ema)
    return model, averaged


def tensors(model: nn.Module) -> Iterator[Tensor]:
    return (t for t in model.state_dict().values() if t.is_floating_point())


def raw_model() -> nn.Module:
    torch.manual_seed(derive(0, 0, "weights"))
    model = TINY.create(2)
    torch.manual_seed(derive(0, 0, "head target"))
    model.reset_classifier(NUM_CLASSES["target"])
    return model


def compare(stages: list[dict[str, Any]], spans: list[Span], folder: Path, **fields: Any) -> None:
    """Fail where the core's schedule of `stages` and the raw loop of `spans` differ in a bit."""
    store = Store(str(folder))
    plan = schedule(*(stage(lr=LR, **each) for each in stages), **fields)
    core = state(store, run(plan, store, TINY)[-1].record.key)
    model, averaged = raw_loop(raw_model(), *TINY.data["target"], spans)
    same(
        dict(core["models"]),
        {f"model.{name}": value for name, value in model.state_dict().items()},
    )
    if averaged is not None:  # the average's counter of batches stays where it began
        names = [n for n, t in averaged.state_dict().items() if t.is_floating_point()]
        one, other = core["averaged"], averaged.state_dict()
        same({n: one[n] for n in names}, {n: other[n] for n in names})


def one_cycle(t: int) -> float:
    top, last = 0.3 * 6 - 1, 5
    if t <= top:
        return 1.0 + (1 / 25 - 1.0) / 2 * (1 + cos(pi * (t / top)))
    low = 1 / 25 / 1e4
    return low + (1.0 - low) / 2 * (1 + cos(pi * ((t - top) / (last - top))))


def one_cycle_linear(t: int) -> float:
    top, last, start = 0.3 * 6 - 1, 5, 1 / 25
    if t <= top:
        return start + (1.0 - start) * (t / top)
    return 1.0 + (start / 1e4 - 1.0) * ((t - top) / (last - top))


CURVES: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {
    "constant": ({"kind": "constant"}, lambda t: 1.0),
    "linear": ({"kind": "linear"}, lambda t: 1 - t / 6),
    "cosine": ({"kind": "cosine"}, lambda t: (1 + cos(pi * t / 6)) / 2),
    "one_cycle": ({"kind": "one_cycle"}, one_cycle),
    "one_cycle_linear": ({"kind": "one_cycle", "anneal": "linear"}, one_cycle_linear),
    "step": ({"kind": "step", "every_epochs": 1}, lambda t: 0.1 ** (t // STEPS)),
    "poly": ({"kind": "poly"}, lambda t: (1 - t / 6) ** 0.9),
    "constant_cooldown": (
        {"kind": "constant_cooldown", "cooldown": 0.5},
        lambda t: 1 - max(0, t - 3) / 3,
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_each_curve(name: str, tmp_path: Path) -> None:
    curve, factor = CURVES[name]
    compare([{"curve": curve}], [Span(factor)], tmp_path)


@pytest.mark.parametrize("name", CURVES)
def test_each_curve_over_all_stages(name: str, tmp_path: Path) -> None:
    curve, factor = CURVES[name]
    stages = [{"epochs": 1}, {"epochs": 1, "keep_optimizer": True}]
    compare(stages, [Span(factor)], tmp_path, curve=curve)


def test_warm_up(tmp_path: Path) -> None:
    def factor(t: int) -> float:
        return 0.01 + (1 - 0.01) * t / 3 if t < 3 else (1 + cos(pi * (t - 3) / 3)) / 2

    compare([{"curve": {"kind": "cosine"}, "warmup": {"epochs": 1}}], [Span(factor)], tmp_path)


HEAD: dict[str, float | None] = {"fc": 1.0, "": None}
PART: dict[str, float | None] = {"fc": 1.0, "layer4": 0.3, "": None}
FULL: dict[str, float | None] = {"fc": 1.0, "layer": 0.3, "": 0.1}


def table(groups: dict[str, float | None]) -> dict[str, Any]:
    """Return prefixes of parameters as the core's globs of layer groups."""
    return {
        "*" if prefix == "" else "head" if prefix == "fc" else f"{prefix}*": value or "frozen"
        for prefix, value in groups.items()
    }


@pytest.mark.parametrize("batchnorm", ["train", "eval_frozen", "eval_all"])
@pytest.mark.parametrize("groups", [HEAD, PART, FULL], ids=["head", "part", "full"])
def test_each_freezing_pattern(
    groups: dict[str, float | None], batchnorm: str, tmp_path: Path
) -> None:
    fields = {"groups": table(groups), "batchnorm": batchnorm}
    compare([fields], [Span(groups=groups, batchnorm=batchnorm)], tmp_path)


def sgd(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9, weight_decay=1e-4)


def nesterov(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=0.0, momentum=0.5, weight_decay=0.0, nesterov=True)


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)


OPTIMIZERS: dict[str, tuple[dict[str, Any], Any]] = {
    "sgd": ({"kind": "sgd"}, sgd),
    "nesterov": ({"kind": "sgd", "momentum": 0.5, "weight_decay": 0, "nesterov": True}, nesterov),
    "adamw": (
        {"kind": "adamw", "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1},
        adamw,
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("keep", [False, True], ids=["new", "kept"])
def test_each_optimizer_across_a_thaw(name: str, keep: bool, tmp_path: Path) -> None:
    config, build = OPTIMIZERS[name]
    shared = {"optimizer": config}
    stages = [
        {"groups": table(HEAD), "batchnorm": "eval_frozen"} | shared,
        {"groups": table(FULL), "keep_optimizer": keep} | shared,
    ]
    spans = [
        Span(groups=HEAD, batchnorm="eval_frozen", optimizer=build),
        Span(groups=FULL, optimizer=build, keep=keep),
    ]
    compare(stages, spans, tmp_path)


def test_accumulation(tmp_path: Path) -> None:
    compare([{"accumulate": 2}], [Span(accumulate=2)], tmp_path)


def test_clipping(tmp_path: Path) -> None:
    fields = {"clip_norm": 0.1, "groups": table(PART)}
    compare([fields], [Span(clip=0.1, groups=PART)], tmp_path)


def test_averaged_weights_across_a_thaw(tmp_path: Path) -> None:
    stages = [{"groups": table(HEAD), "ema_decay": 0.8}, {"ema_decay": 0.9}]
    compare(stages, [Span(groups=HEAD, ema=0.8), Span(ema=0.9)], tmp_path)


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="leaves differ"):
        compare([{"clip_norm": 0.1}], [Span(clip=0.1 + 1e-6)], tmp_path)


def test_digits_with_the_real_task(tmp_path: Path) -> None:
    task = Classification(ClassifierConfig(image_size=16))
    known = facts_of(task, seed=0, place=Place())
    store = Store(str(tmp_path))
    core = Trainer(task, root=known.root, seed=0, store=store, place=Place())
    plan = schedule(stage(lr=LR, batch_size=32))
    last = list(walk(plan, known, store, core.train))[-1].record.key
    torch.manual_seed(derive(0, 0, "weights"))
    model = task.build(0)["model"]
    torch.manual_seed(derive(0, 0, "head target"))
    model.reset_classifier(len(task.classes("target")))
    train = load_digits(16)["target"].train
    raw_loop(model, train.pixels, train.labels, [Span()], batch=32)
    expected = {f"model.{name}": value for name, value in model.state_dict().items()}
    same(dict(state(store, last)["models"]), expected)
