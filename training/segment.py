"""One segment: the training loop and the evaluation, read top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.features import evaluated, have_features
from training.live import Live
from training.order import epoch_order
from training.pulse import beat
from training.randomness import derive, generator
from training.recorded import recorded
from training.residence import Expect, batches, is_recording
from training.settings import Settings
from training.task import Task, Totals


def train_segment(live: Live, task: Task, settings: Settings, seed: int) -> Totals:
    """Train one segment on the live state; return the totals over this rank's examples.

    Nothing in the loop waits for the device: totals are read once, after the last step. A step that
    runs out of memory is done again in smaller micro-batches (`_gradients`).
    """
    live.prepare(settings)
    autocast = precision_of(live, settings)
    have_features(live, task, settings, seed, autocast)
    forward = live.forward(settings)
    optimizer = live.optimizer
    assert optimizer is not None
    trainable = [p for p in live.models[settings.model].parameters() if p.requires_grad]
    order = epoch_order(task, settings, seed)[: settings.num_steps * settings.batch_size]
    draws = generator(seed, settings.index, "draws", live.device)
    torch.manual_seed(derive(seed, settings.index, "dropout", world_rank()))

    def step(chosen: Tensor, lrs: Sequence[float | Tensor]) -> Totals:
        for group, lr in zip(optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        drawn = task.draw(chosen, settings, draws)
        sums = _gradients(live, task, forward, chosen, drawn, settings, autocast)
        if settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(trainable, settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if settings.ema_decay is not None:
            live.average(settings.ema_decay)
        return sums

    expect = expect_of(task, settings)
    if settings.compute.cuda_graphs:
        totals = recorded(step, optimizer, settings, order, expect, draws)
    else:
        totals = {}
        chosen = batches(order, settings.batch_size, live.device, expect)
        for number, examples in enumerate(chosen):
            beat()
            add(totals, step(examples, settings.group_lrs(number)))
    _same_buffers(live, settings)
    return totals


def _gradients(
    live: Live,
    task: Task,
    forward: Mapping[str, nn.Module],
    chosen: Tensor,
    drawn: Tensor,
    settings: Settings,
    autocast: AbstractContextManager[object],
) -> Totals:
    """Add up the gradients of one step; return its totals over this rank's examples.

    Where the device runs out of memory, the micro-batches are halved, their number doubled, and the
    step begins anew: the sum over its examples is the same but for rounding (and but for layers
    that look at the whole micro-batch, or draw dropout by it). Several processes cannot agree on
    that while one of them waits for another, and what is being recorded cannot be taken back: there
    the error goes on to the caller.
    """
    while True:
        try:
            return _summed(live, task, forward, chosen, drawn, settings, autocast)
        except torch.OutOfMemoryError:
            bound = settings.place.world_size > 1 or is_recording(live.device)
            if bound or live.micro_batches(settings) >= len(chosen):
                raise
        live.halve(settings)  # out of the handler: the error held what must be freed


def _summed(
    live: Live,
    task: Task,
    forward: Mapping[str, nn.Module],
    chosen: Tensor,
    drawn: Tensor,
    settings: Settings,
    autocast: AbstractContextManager[object],
) -> Totals:
    world, rank = settings.place.world_size, world_rank()
    parts = live.micro_batches(settings)
    totals: Totals = {}
    micro = zip(split(chosen, parts), split(drawn, parts), strict=True)
    for part, (examples, random) in enumerate(micro):
        if part % world != rank or not len(examples):
            continue
        with autocast:
            loss, sums = task.loss(forward, examples, random, settings)
        share = len(examples) * world / len(chosen)
        (loss if share == 1 else loss * share).backward()
        add(totals, {**sums, "loss": loss.detach() * len(examples)})
    return totals


@torch.no_grad()
def evaluate_segment(live: Live, task: Task, settings: Settings) -> Totals:
    """Return the totals over this rank's share of the validation examples."""
    autocast = precision_of(live, settings)
    models, settings = evaluated(live, task, settings, autocast)
    with autocast:
        return task.evaluate(models, settings, world_rank())


def add(totals: Totals, sums: Totals) -> None:
    """Add `sums` to `totals` in place, on the device."""
    for name, value in sums.items():
        totals[name] = totals[name] + value if name in totals else value


def read(totals: Totals, settings: Settings) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Add up the totals of all ranks and bring them to the host: one synchronisation.

    Returns the numbers, and the tables of counts as int64.
    """
    flat = torch.cat([value.double().flatten() for value in totals.values()])
    if settings.place.world_size > 1:
        dist.all_reduce(flat)
    sizes = [value.numel() for value in totals.values()]
    parts = dict(zip(totals, flat.cpu().split(sizes), strict=True))
    numbers = {name: part.item() for name, part in parts.items() if not totals[name].ndim}
    tables = {
        name: part.view(totals[name].shape).long()
        for name, part in parts.items()
        if totals[name].ndim
    }
    return numbers, tables


def precision_of(live: Live, settings: Settings) -> AbstractContextManager[object]:
    """Return the context of forward passes; it can be entered again and again."""
    if settings.compute.precision == "fp32":
        return nullcontext()
    return torch.autocast(live.device, dtype=torch.bfloat16)


def expect_of(task: Task, settings: Settings) -> Expect | None:
    """Return what must hear of the coming batches, for a task whose data may be on the host."""
    expect = None if settings.compute.cache_features else getattr(task, "expect", None)
    return None if expect is None else partial(expect, settings.data)


def split(values: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Return the micro-batches of a step's (B, ...) `values`."""
    return (values,) if parts == 1 else values.tensor_split(parts)


def world_rank() -> int:
    """Return this process's rank, 0 where there is no process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def _same_buffers(live: Live, settings: Settings) -> None:
    """Give every rank the running statistics of rank 0, which are the ones that are saved."""
    if settings.place.world_size > 1:
        for model in (live.models[settings.model], live.averaged):
            for buffer in model.buffers() if model is not None else ():
                dist.broadcast(buffer, 0)
