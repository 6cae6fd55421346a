"""Kept features: the same results, computed once for each content, and only where they can be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from tests.training.helpers import facts, keys, outcome, part_of, run, same, state, trainer, weights
from training.backbone import Backbone
from training.classification import Classification, ClassifierConfig
from training.errors import UserError
from training.features import FeatureCache, Features, check_features, extract
from training.live import Live
from training.schedule import Schedule, Stage
from training.segment import train_segment
from training.settings import Place, Settings
from training.store import Store
from training.walk import walk

HEAD: dict[str, Any] = {"groups": {"head": 1.0, "*": "frozen"}, "batchnorm": "eval_frozen"}
FULL: dict[str, Any] = {"name": "full", "batchnorm": "train", "epochs": 1}
KNOBS: dict[str, Any] = {
    "sampler": "balanced",
    "clip_norm": 1.0,
    "accumulate": 2,
    "ema_decay": 0.8,
    "loss": {"label_smoothing": 0.1, "class_weight_power": 1.0},
}
CASES: dict[str, tuple[dict[str, Any], ...]] = {
    "head": (HEAD,),
    "after_full": (FULL, HEAD),
    "knobs": (HEAD | KNOBS,),
    "ema_of_the_backbone_too": (FULL | {"ema_decay": 0.8}, HEAD | {"ema_decay": 0.8}),
    "data_fraction": (HEAD | {"data_fraction": 0.5},),
    "image_size": (HEAD | {"image_size": 24},),
    "sgd": (HEAD | {"optimizer": {"kind": "sgd"}},),
    "thaws": (HEAD | {"epochs": 1}, FULL | {"lr": 1e-5}, HEAD),
    "restart": (FULL, HEAD | {"restart": True}),
}


class Counting(Classification):
    """Notes how many images go through the first convolution."""

    def __init__(self, config: ClassifierConfig | None = None) -> None:
        super().__init__(config or ClassifierConfig())
        self.seen = 0

    def build(self, seed: int) -> nn.ModuleDict:
        models = super().build(seed)
        first = next(m for m in models.modules() if isinstance(m, nn.Conv2d))
        first.register_forward_hook(self._note)
        return models

    def _note(self, module: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        self.seen += len(given[0])

    def take(self) -> int:
        seen, self.seen = self.seen, 0
        return seen


def plan(*stages: dict[str, Any], cached: bool = True, **fields: Any) -> Schedule:
    """Return a schedule of stages of two epochs over 270 images, with features kept or not."""
    common = {"name": "head", "epochs": 2, "lr": 0.01, "batch_size": 48}
    compute = {"cache_features": cached} | fields.pop("compute", {})
    parsed = tuple(Stage.parse(common | stage) for stage in stages)
    return Schedule.parse({"stages": parsed, "compute": compute, **fields})


def all_settings(schedule: Schedule, task: Classification) -> list[Settings]:
    """Return the settings of every segment."""
    known, found = facts(task), list[Settings]()
    while (settings := schedule.next([None] * len(found), known)) is not None:
        found.append(settings)
    return found


TASK = Classification(ClassifierConfig())
NUM_TRAIN, NUM_VAL = 269, 627


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_the_metrics_are_those_without_them(case: str, precision: str, tmp_path: Path) -> None:
    compute = {"precision": precision}
    plans = [plan(*CASES[case], cached=cached, compute=compute) for cached in (True, False)]
    (first, *_), (last, *_) = (reversed(all_settings(p, TASK)) for p in plans)
    assert (first.compute.cache_features, last.compute.cache_features) == (True, False)
    records = [[v.record for v in run(p, Store(str(tmp_path)), TASK)] for p in plans]
    for kept, plain in zip(*records, strict=True):
        gap = 1e-4 if precision == "fp32" else 0.02
        assert kept.metrics == pytest.approx(plain.metrics, abs=gap, rel=gap)


@pytest.mark.parametrize("case", CASES)
def test_forked_equals_straight(case: str, tmp_path: Path) -> None:
    schedule, store = plan(*CASES[case]), Store(str(tmp_path / "straight"))
    straight = run(schedule, store, TASK)
    names = keys(schedule, TASK)
    for border in range(1, len(names)):
        fork = part_of(store, names[:border], tmp_path / str(border))
        again = run(schedule, fork, Classification(ClassifierConfig()))  # with no features at hand
        same(state(store, names[-1]), state(fork, names[-1]))
        same([outcome(v.record) for v in straight], [outcome(v.record) for v in again])


def test_each_image_is_seen_once_over_epochs_and_trials(tmp_path: Path) -> None:
    task, store = Counting(), Store(str(tmp_path))
    by = trainer(task, store)
    run(plan(HEAD | {"epochs": 3}), store, task, by)
    assert task.take() == NUM_TRAIN + NUM_VAL + 16, "once, and the 16 that are compared"
    run(plan(HEAD | {"lr": 0.02}), store, task, by)
    run(plan(HEAD | {"lr": 0.03}), store, task)  # another trainer of the same process
    run(plan(HEAD | {"lr": 0.04, "ema_decay": 0.9, "batch_size": 32}), store, task)
    assert task.take() == 0


def test_a_trained_backbone_is_known_again(tmp_path: Path) -> None:
    task, store = Counting(), Store(str(tmp_path))
    by = trainer(task, store)
    run(plan(FULL, HEAD), store, task, by)
    task.take()
    run(plan(FULL, HEAD | {"lr": 0.02}), store, task, by)  # its parent is loaded
    assert task.take() == 0
    run(plan(HEAD), store, task, by)
    assert task.take() == NUM_TRAIN + NUM_VAL + 16, "the backbone before the full stage is another"


@pytest.mark.parametrize(
    ("changed", "num"),
    [
        ({"data": "source"}, 721 + 180),
        ({"image_size": 24}, NUM_TRAIN + NUM_VAL),
        ({"data_fraction": 0.5}, 134),
    ],
    ids=str,
)
def test_other_images_are_computed_anew(changed: dict[str, Any], num: int, tmp_path: Path) -> None:
    task, store = Counting(), Store(str(tmp_path))
    by = trainer(task, store)
    run(plan(HEAD), store, task, by)
    task.take()
    run(plan(HEAD | changed), store, task, by)
    assert task.take() == num + 16


@pytest.mark.parametrize("fields", [{"seed": 1}, {"compute": {"precision": "bf16"}}], ids=str)
def test_another_backbone_or_precision_is_computed_anew(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    task, store = Counting(), Store(str(tmp_path))
    run(plan(HEAD), store, task)
    task.take()
    run(plan(HEAD, **fields), store, task)
    assert task.take() == NUM_TRAIN + NUM_VAL + 16


def test_the_full_stage_between_moves_the_name(tmp_path: Path) -> None:
    """The trainer goes on with its live state: nothing is loaded that would tell."""
    task, store = Counting(), Store(str(tmp_path))
    run(plan(HEAD, FULL, HEAD), store, task)
    once = NUM_TRAIN + NUM_VAL + 16
    full = 5 * 48 + NUM_VAL
    assert task.take() == 2 * once + full


@pytest.mark.parametrize(
    "fields",
    [
        HEAD | {"batchnorm": "train"},
        HEAD | {"augment": {"flip": True}},
        HEAD | {"augment": {"shift": 0.1}},
        HEAD | {"augment": {"mixup": 0.4}},
        HEAD | {"groups": {"head": 1.0, "layer4": 0.1, "*": "frozen"}},
        HEAD | {"groups": {"head": "frozen", "*": 1.0}},
        FULL,
    ],
    ids=str,
)
def test_it_is_off_where_features_would_change(fields: dict[str, Any]) -> None:
    for settings, plain in zip(
        all_settings(plan(fields), TASK),
        all_settings(plan(fields, cached=False), TASK),
        strict=True,
    ):
        assert settings == plain and settings.plain() == plain.plain()


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        ({"drop_rate": 0.1}, None),
        ({"model": "test_vit", "drop_path_rate": 0.1}, None),
        ({"model": "deit_tiny_distilled_patch16_224", "image_size": 224}, None),
        ({"model": "test_convnext"}, ()),
        ({"model": "test_convnext", "layers": {"body": "(?!head.fc)", "fc": "head"}}, ("fc",)),
        ({"model": "test_vit"}, ("head",)),
        ({"model": "test_efficientnet"}, ("head",)),
    ],
    ids=str,
)
def test_of_which_models_features_can_be_kept(
    config: dict[str, Any], layers: tuple[str, ...] | None
) -> None:
    found = Classification(ClassifierConfig.parse(config)).backbones()
    assert (found["model"].head_layers if found else None) == layers


def test_another_model_gives_the_metrics_it_gave(tmp_path: Path) -> None:
    task, store = Counting(ClassifierConfig(model="test_efficientnet")), Store(str(tmp_path))
    few = HEAD | {"data_fraction": 0.2, "batch_size": 24}
    kept, plain = (run(plan(few, cached=c), store, task)[-1].record for c in (True, False))
    assert kept.metrics == pytest.approx(plain.metrics, abs=1e-4, rel=1e-4)


def test_the_key_is_another_one_only_where_they_are_used() -> None:
    kept, plain = (all_settings(plan(HEAD, cached=c), TASK)[0] for c in (True, False))
    assert "cache_features" not in plain.plain()["compute"]
    assert kept.plain()["compute"]["cache_features"] is True
    on, off = (keys(plan(HEAD | {"epochs": 1}, FULL, cached=c), TASK) for c in (True, False))
    assert on[0] != off[0]
    first = [keys(plan(FULL, HEAD, cached=c), TASK) for c in (True, False)]
    assert first[0][0] == first[1][0] and first[0][1] != first[1][1]


def test_compile_has_no_say_over_kept_features() -> None:
    one, other = (all_settings(plan(HEAD, compute={"compile": c}), TASK) for c in (True, False))
    assert one == other


def test_what_is_frozen_stays_to_the_bit(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    visits = run(plan(FULL, HEAD | KNOBS), store, TASK)
    before, after = (weights(store, visits[n].record.key) for n in (0, -1))
    assert {name for name in after if not torch.equal(before[name], after[name])} == {
        "fc.weight",
        "fc.bias",
    }


def test_modules_are_in_the_mode_they_were_in() -> None:
    settings = all_settings(plan(HEAD), TASK)[0]
    live = Live(TASK, 0, "cpu")
    live.prepare(settings)
    before = {name: m.training for name, m in live.models.named_modules()}
    train_segment(live, TASK, replace(settings, fresh_optimizer=False), seed=0)
    assert {name: m.training for name, m in live.models.named_modules()} == before


def num_reads(batch_size: int) -> int:
    """Return how often a value was read in a segment on kept features."""
    fields = {"batch_size": batch_size, "optimizer": {"kind": "sgd"}}
    settings = all_settings(plan(HEAD | fields), TASK)[0]
    live = Live(TASK, 0, "cpu")
    train_segment(live, TASK, settings, seed=0)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        train_segment(live, TASK, settings, seed=0)
    return sum(e.count for e in profiled.key_averages() if e.key == "aten::_local_scalar_dense")


def test_twice_the_steps_read_no_more_values() -> None:
    assert num_reads(64) == num_reads(32)


def test_those_not_used_for_longest_go_first() -> None:
    cache = FeatureCache(limit_bytes=3 * 40)
    made = list[str]()

    def ask(name: str) -> None:
        cache.of(name, lambda: made.append(name) or Features(torch.zeros(10)))  # type: ignore[func-returns-value]

    for name in "abcabad":
        ask(name)
    assert made == list("abcd") and "c" not in cache and cache.num_bytes == 120
    ask("c")
    assert made == list("abcdc") and "b" not in cache


def test_what_is_in_use_stays_even_beyond_the_limit() -> None:
    cache = FeatureCache(limit_bytes=0)
    for name in ("train", "val"):
        cache.of(name, lambda: Features(torch.zeros(10)))
    assert "train" in cache and "val" in cache


class Noisy(nn.Module):
    """Draws random numbers in training, of which no module tells."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x + torch.randn_like(x) if self.training else x)


def test_a_model_that_differs_in_training_is_told() -> None:
    torch.manual_seed(0)
    images, backbone = torch.randn(20, 4), Backbone(head="fc", head_layers=(), has_batchnorm=False)
    settings, model = all_settings(plan(HEAD), TASK)[0], Noisy()
    device = torch.device("cpu")
    made = extract(model, backbone, images.__getitem__, num=20, used=None, device=device)
    assert torch.equal(made.values, images) and model.training
    given = {"used": None, "settings": settings}
    check_features(model.eval(), backbone, images.__getitem__, made, **given)
    with pytest.raises(UserError, match=r"compute\.cache_features: the outputs in training differ"):
        check_features(model.train(), backbone, images.__getitem__, made, **given)


TWO = Place(world_size=2)
SHARED = plan(HEAD | KNOBS | {"optimizer": {"kind": "sgd"}, "epochs": 1})


def work(rank: int, folder: str) -> None:
    """Train on kept features by two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    task, store = Classification(ClassifierConfig()), Store(f"{folder}/two")
    by = trainer(task, store, place=TWO)
    found = [v.record.metrics for v in walk(SHARED, facts(task, place=TWO), store, by.train)]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_do_as_one(tmp_path: Path) -> None:
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    one = [v.record.metrics for v in run(SHARED, Store(str(tmp_path / "one")), TASK)]
    for rank in range(2):
        two = torch.load(tmp_path / f"{rank}.pt")
        assert len(two) == len(one)
        for got, expected in zip(two, one, strict=True):
            assert got == pytest.approx(expected, abs=1e-4)
