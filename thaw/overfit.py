"""`thaw check overfit`: a model that learns anything at all learns 50 images by heart."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import torch
from rich.console import Console
from rich.table import Table

from trainables.spec import TrialSpec
from training.curves import Constant
from training.errors import UserError
from training.schedule import Facts, Schedule, Stage
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import walk

_ENOUGH = 0.98
"""Train accuracy that is about 100 %: one of 50 images may be wrong."""
_METRIC = "train_accuracy"
_BATCH = 10
_ROWS = 12
_ADVICE = (
    "the labels: are images in the right class folders, or the same image in two?",
    "the LR: `thaw lr-find STUDY --groups '*'` says what this model takes, then --lr",
    "the images: their size and what is left of them at it",
    "what holds the model back: drop_rate, drop_path_rate, weights of another kind of image",
    "the length: does the loss still fall? then more --epochs",
)


def check_overfit(
    spec: TrialSpec, *, num_images: int, epochs: int, lr: float, num_threads: int, console: Console
) -> bool:
    """Train everything on `num_images` images, print how it went; return whether it passed.

    Passes at the first epoch in which 98 % of the training images are right. No augmentation, no
    label smoothing, no weight decay; nothing is stored.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    place = Place(device=device, num_threads=num_threads)
    schedule = overfitting(spec, num_images=num_images, epochs=epochs, lr=lr)
    check = spec.with_schedule(schedule)
    # Few images of many classes leave some without any, which is no fault here.
    facts = facts_of(check.build_task(), seed=schedule.seed, place=place)
    schedule.check(facts)
    reached = []
    with tempfile.TemporaryDirectory(prefix="thaw-check-") as folder:
        for accuracy, loss in _epochs(check, facts, Store(folder)):
            reached.append((accuracy, loss))
            if accuracy >= _ENOUGH:
                break
    console.print(_table(reached))
    passed = reached[-1][0] >= _ENOUGH
    best = max(accuracy for accuracy, _ in reached)
    console.print(
        f"{'pass' if passed else 'fail'}: {100 * best:.1f} % of {num_images} images after "
        f"{len(reached)} epochs"
    )
    if not passed:
        console.print("look at\n" + "\n".join(f"- {advice}" for advice in _ADVICE))
    return passed


def overfitting(spec: TrialSpec, *, num_images: int, epochs: int, lr: float) -> Schedule:
    """Return one stage that trains all layer groups on `num_images` images.

    Raises `UserError` where the task has fewer.
    """
    last = spec.schedule.stages[-1]
    num_train = spec.build_task().num_train()[last.data]
    if num_images > num_train:
        raise UserError(
            f"--images {num_images}: the task has {num_train} training images; allowed: "
            f"2 .. {num_train}"
        )
    stage = Stage(
        name="overfit",
        epochs=epochs,
        lr=lr,
        model=last.model,
        data=last.data,
        image_size=last.image_size,
        curve=Constant(),
        optimizer=last.optimizer.model_copy(update={"weight_decay": 0.0}),
        batch_size=min(_BATCH, num_images),
        data_fraction=num_images / num_train,
    )
    return Schedule(seed=spec.schedule.seed, stages=(stage,), compute=spec.schedule.compute)


def _epochs(spec: TrialSpec, facts: Facts, store: Store) -> Iterator[tuple[float, float]]:
    """Yield train accuracy and train loss of each epoch."""
    trainer = Trainer(
        spec.build_task(),
        root=facts.root,
        seed=spec.schedule.seed,
        store=store,
        place=facts.place,
    )
    for visit in walk(spec.schedule, facts, store, trainer.train):
        metrics = visit.record.metrics
        if _METRIC not in metrics:
            raise UserError(
                f"check overfit: system {spec.system} measures no {_METRIC}; it has "
                f"{', '.join(metrics)}"
            )
        yield metrics[_METRIC], metrics["train_loss"]


def _table(reached: list[tuple[float, float]]) -> Table:
    table = Table("epoch", "train accuracy", "train loss", box=None, pad_edge=False)
    last = len(reached) - 1
    places = {round(place * last / (_ROWS - 1)) for place in range(_ROWS)}
    for index in sorted(places):
        accuracy, loss = reached[index]
        table.add_row(str(index + 1), f"{100 * accuracy:.1f} %", f"{loss:.4f}")
    return table
