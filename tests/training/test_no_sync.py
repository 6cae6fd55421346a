"""The step loop never waits for the device: no value is read until the segment is over."""

from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.classification import Classification, ClassifierConfig
from training.live import Live
from training.segment import train_segment
from training.settings import Place
from training.task import facts_of

TINY = TinyTask(num=32, drop_rate=0.1)
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
READS = ("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero")
SGD: dict[str, Any] = {"optimizer": {"kind": "sgd"}}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "head": {"groups": {"head": 1.0, "*": "frozen"}, "batchnorm": "eval_frozen"},
    "clip": {"clip_norm": 1.0},
    "ema": {"ema_decay": 0.9},
    "accumulate": {"accumulate": 2},
    "augment": {"augment": {"shift": 0.1, "zoom": 0.1, "rotate_deg": 5, "flip": True}},
    "image_size": {"image_size": 24},
    "mixup": {"augment": {"mixup": 0.4}},
    "cutmix": {"augment": {"cutmix": 1.0}},
    "mixes": {"augment": {"mixup": 0.4, "cutmix": 1.0}, "accumulate": 2},
    "weighted_loss": {"loss": {"class_weight_power": 1.0}},
    "balanced": {"sampler": "balanced"},
    "curve": {"curve": {"kind": "cosine"}, "warmup": {"epochs": 0.5}},
}


def num_reads(batch_size: int, fields: dict[str, Any], **compute: Any) -> tuple[int, int]:
    """Return how often a value was read in a segment, and its number of steps."""
    plan = schedule(stage(epochs=1, batch_size=batch_size, **fields), compute=compute)
    settings = plan.next([], facts(TINY))
    assert settings is not None
    live = Live(TINY, 0, "cpu")
    live.prepare(settings)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        train_segment(live, TINY, settings, seed=0)
    counts = [event.count for event in profiled.key_averages() if event.key in READS]
    return sum(counts), settings.num_steps


@pytest.mark.parametrize("case", CASES)
def test_twice_the_steps_read_no_more_values(case: str) -> None:
    few, num_few = num_reads(16, CASES[case] | SGD)
    many, num_many = num_reads(8, CASES[case] | SGD)
    assert (num_few, num_many) == (2, 4)
    assert few == many, f"{few} reads in {num_few} steps, {many} in {num_many}"


def test_twice_the_steps_read_no_more_values_in_bf16() -> None:
    few, _ = num_reads(16, SGD, precision="bf16", channels_last=True)
    many, _ = num_reads(8, SGD, precision="bf16", channels_last=True)
    assert few == many


def test_adamw_reads_only_its_own_step_counters() -> None:
    """On the CPU torch keeps them on the host; on a GPU the fused kernel reads none."""
    (few, num_few), (many, num_many) = num_reads(16, {}), num_reads(8, {})
    num_parameters = len(list(TINY.create(2).parameters()))
    per_step = 2 * num_parameters  # aten::item calls aten::_local_scalar_dense
    assert many - few == per_step * (num_many - num_few)


@pytest.mark.gpu
@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("case", [name for name in CASES if name != "image_size"])
def test_twice_the_steps_wait_for_a_gpu_no_more_often(case: str, cuda_graphs: bool) -> None:
    """Counted in the profiler: waits for a stream, for the device, or for an event."""
    few, num_few = num_waits(8, CASES[case], cuda_graphs)
    many, num_many = num_waits(4, CASES[case], cuda_graphs)
    assert num_many == 2 * num_few
    assert few == many, f"{few} waits in {num_few} steps, {many} in {num_many}"


def num_waits(batch_size: int, fields: dict[str, Any], cuda_graphs: bool) -> tuple[int, int]:
    """Return how often the host waited for the GPU in a segment, and its number of steps."""
    task = Classification(ClassifierConfig())
    share = 64 / task.num_train()["target"]
    place = Place(device="cuda")
    task.to("cuda")
    one = stage(epochs=1, batch_size=batch_size, data_fraction=share, **fields)
    plan = schedule(one, compute={"cuda_graphs": cuda_graphs})
    known = facts_of(task, seed=0, place=place)
    settings = plan.next([], known)
    assert settings is not None
    live = Live(task, 0, "cuda")
    train_segment(live, task, settings, seed=0)  # the libraries start, and tables are made
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        train_segment(live, task, settings, seed=0)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert any(name.startswith("cudaLaunchKernel") for name in counts), "the profiler saw no GPU"
    return sum(count for name, count in counts.items() if name in WAITS), settings.num_steps


def test_the_count_sees_a_read() -> None:
    class Reading(TinyTask):
        def loss(self, *args: Any) -> Any:
            loss, sums = super().loss(*args)
            loss.item()
            return loss, sums

    settings = schedule(stage(epochs=1, batch_size=8, **SGD)).next([], facts(TINY))
    assert settings is not None
    task = Reading(num=32)
    live = Live(task, 0, "cpu")
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        train_segment(live, task, settings, seed=0)
    counts = {event.key: event.count for event in profiled.key_averages()}
    assert counts["aten::item"] >= 4
