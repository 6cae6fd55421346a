"""Which training examples a segment uses, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor

from training.randomness import generator
from training.settings import Settings
from training.task import Task


def epoch_order(task: Task, settings: Settings, seed: int) -> Tensor:
    """Return the training examples of this segment in order, (num,) int64 on the CPU.

    `shuffle` takes each of the used ones once, and where the segment has more steps than that,
    again in a new order. `balanced` takes as many as the segment's steps have room for, of each
    class the same number.
    """
    num = task.num_train()[settings.data]
    used = used_examples(num, settings.data_fraction, settings.data, seed)
    random = generator(seed, settings.index, "order")
    if settings.sampler == "shuffle":
        wanted = settings.num_steps * settings.batch_size if settings.num_steps > 1 else 1
        rounds = max(1, -(-wanted // len(used)))
        return torch.cat([used[torch.randperm(len(used), generator=random)] for _ in range(rounds)])
    labels = task.class_labels(settings.data)
    assert labels is not None  # `check` has refused a task without classes
    room = settings.num_steps * settings.batch_size
    if settings.num_steps == 1:  # the data may be fewer than a batch
        room = min(len(used), room)
    return used[balanced(labels[used], room, random)]


def used_examples(num: int, fraction: float, data: str, seed: int) -> Tensor:
    """Return the share `fraction` of `num` training examples, int64 on the CPU.

    The beginning of one fixed permutation, so that a smaller share is part of a larger one.
    """
    if fraction == 1:
        return torch.arange(num)
    fixed = torch.randperm(num, generator=generator(seed, 0, f"fraction {data}"))
    return fixed[: round(num * fraction)]


def balanced(labels: Tensor, num: int, random: torch.Generator) -> Tensor:
    """Return `num` positions in (N,) `labels`, shuffled, with classes as equal as can be.

    The numbers of two classes differ by at most one; chance decides which have one more. Within a
    class every example is taken before one is taken again. A class that does not occur is left out.
    """
    found = labels.unique()
    counts = torch.full((len(found),), num // len(found))
    counts[torch.randperm(len(found), generator=random)[: num % len(found)]] += 1
    parts = []
    for label, count in zip(found, counts.tolist(), strict=True):
        members = (labels == label).nonzero().flatten()
        rounds = -(-count // len(members))
        turns = [members[torch.randperm(len(members), generator=random)] for _ in range(rounds)]
        parts.append(torch.cat([members[:0], *turns])[:count])
    return torch.cat(parts)[torch.randperm(num, generator=random)]
