"""A segment's steps recorded once, as a CUDA graph, and replayed.

A small model computes faster than the host can launch its kernels one by one; a replay is one
launch. Nothing enters a replay from the host: the examples and the LRs of all steps lie on the
device, and the step itself counts which are next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor

from training.errors import UserError
from training.pulse import beat
from training.residence import Expect, OnHost, batches
from training.settings import Settings
from training.task import Totals

WARM_UP = 3
"""Steps before the one that is recorded: libraries start, and optimizers make their state."""


def recorded(
    step: Callable[[Tensor, Sequence[Tensor]], Totals],
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    order: Tensor,
    expect: Expect | None,
    draws: torch.Generator,
) -> Totals:
    """Take all steps of a segment; return the sum of their totals.

    `step` is given the examples, (B,) int64, and the LR of each group of `optimizer`, and draws
    from `draws` and torch's own generator alone. `order` are the examples of all steps, on the
    host; `expect` hears of them before they are taken. Where their data is on the host too, nothing
    is recorded. Raises `UserError` where the step cannot be.
    """
    device = draws.device
    rows = [settings.group_lrs(step) for step in range(settings.num_steps)]
    lrs = torch.tensor(rows).to(device, non_blocking=True)  # (steps, groups)
    coming = zip(batches(order, settings.batch_size, device.type, expect), lrs, strict=True)
    totals: Totals = {}

    def take(examples: Tensor, rates: Tensor) -> None:
        for name, value in step(examples, rates.unbind()).items():
            totals.setdefault(name, torch.zeros_like(value)).add_(value)

    with _lrs_on_device(optimizer, settings):
        for examples, rates in islice(coming, WARM_UP):
            beat()
            take(examples, rates)
        table = order.view(settings.num_steps, -1).to(device, non_blocking=True)
        at = torch.full((1,), WARM_UP, device=device)  # as the tables, it must outlive the replays

        def take_next() -> None:
            take(*(all_steps.index_select(0, at).squeeze(0) for all_steps in (table, lrs)))
            at.add_(1)

        graph = _graph(take_next, draws) if settings.num_steps > WARM_UP else None
        if graph is None:
            for examples, rates in coming:
                beat()
                take(examples, rates)
            return totals
        for _ in range(WARM_UP, settings.num_steps):
            beat()
            graph.replay()
    return totals


def _graph(step: Callable[[], None], draws: torch.Generator) -> torch.cuda.CUDAGraph | None:
    """Record a step without taking it; None on the CPU, and where it needs data of the host."""
    if draws.device.type != "cuda":
        return None
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(draws)
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            step()
    except OnHost:
        return None
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"compute.cuda_graphs: a step cannot be recorded ({reason}); switch it off"
        ) from error
    return graph


@contextmanager
def _lrs_on_device(optimizer: torch.optim.Optimizer, settings: Settings) -> Iterator[None]:
    """Have the optimizer take LRs that are tensors, and look as after any other segment."""
    groups = optimizer.param_groups
    for group in groups:
        if "capturable" in group:
            group["capturable"] = settings.place.device == "cuda"
    try:
        yield
    finally:
        for group, lr in zip(groups, settings.group_lrs(-1), strict=True):
            group["lr"] = lr
            if "capturable" in group:
                group["capturable"] = False
