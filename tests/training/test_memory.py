"""A step that runs out of memory is done again in smaller micro-batches, to the same result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.helpers import TinyTask, facts, keys, schedule, stage, trainer, weights
from training.record import Record
from training.settings import Settings
from training.store import Store
from training.task import Totals
from training.walk import Visit, walk

SGD: dict[str, Any] = {"optimizer": {"kind": "sgd"}, "batchnorm": "eval_all"}


class Crowded(TinyTask):
    """Has room for a few images at once, and forgets nothing it was asked."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.asked: list[int] = []

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        self.asked.append(len(chosen))
        made = super().loss(forward, chosen, draws, settings)
        if len(chosen) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory (provoked)")
        return made


def train(task: TinyTask, folder: Path, **fields: Any) -> tuple[list[Visit], dict[str, Tensor]]:
    plan, store = schedule(stage(batch_size=16, **SGD | fields)), Store(str(folder))
    visits = list(walk(plan, facts(task), store, trainer(task, store).train))
    return visits, weights(store, visits[-1].record.key)


def test_the_result_is_the_same_but_for_rounding(tmp_path: Path) -> None:
    whole, expected = train(TinyTask(), tmp_path / "whole")
    split, got = train(Crowded(room=4), tmp_path / "split")
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-6, msg=name)
    for one, other in zip(whole, split, strict=True):
        assert one.record.metrics == pytest.approx(other.record.metrics, rel=1e-4)


def test_it_is_recorded_and_remembered(tmp_path: Path) -> None:
    task = Crowded(room=4)
    visits, _ = train(task, tmp_path)
    assert [visit.record.micro_batches for visit in visits] == [4, 4]
    assert task.asked == [16, 8] + [4] * 4 * 6, "two failures, then 6 steps of 4 micro-batches"


def test_the_accumulation_that_was_asked_for_doubles(tmp_path: Path) -> None:
    visits, _ = train(Crowded(room=4), tmp_path, accumulate=2)
    assert visits[-1].record.micro_batches == 4
    visits, _ = train(TinyTask(), tmp_path / "roomy", accumulate=2)
    assert visits[-1].record.micro_batches == 2


def test_a_failure_within_a_step_leaves_no_gradient_behind(tmp_path: Path) -> None:
    class Sometimes(Crowded):
        def loss(self, *args: Any) -> Any:
            if len(self.asked) == 3:  # in the middle of the second step's micro-batches
                self.asked.append(0)
                raise torch.OutOfMemoryError("CUDA out of memory (provoked)")
            return super().loss(*args)

    _, expected = train(TinyTask(), tmp_path / "whole", accumulate=2)
    task = Sometimes(room=16)
    visits, got = train(task, tmp_path / "split", accumulate=2)
    assert task.asked[:5] == [8, 8, 8, 0, 4] and visits[0].record.micro_batches == 4
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_keys_do_not_hang_on_it(tmp_path: Path) -> None:
    crowded, roomy = Crowded(room=4), TinyTask()
    plan = schedule(stage(batch_size=16))
    visits, _ = train(crowded, tmp_path, batchnorm="train", optimizer={"kind": "adamw"})
    assert tuple(visit.record.key for visit in visits) == keys(plan, roomy) == keys(plan, crowded)


def test_one_image_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError, match="provoked"):
        train(Crowded(room=0), tmp_path)


def test_a_record_from_before_this_was_known_is_read(tmp_path: Path) -> None:
    visits, _ = train(TinyTask(), tmp_path)
    plain = visits[0].record.plain()
    del plain["micro_batches"]
    assert Record.from_plain(plain).micro_batches == 0


def test_the_peak_of_a_device_is_kept_where_it_was_measured(tmp_path: Path) -> None:
    visits, _ = train(TinyTask(), tmp_path)
    plain = visits[0].record.plain()
    assert "peak_bytes" not in plain, "the CPU does not say"
    known = Record.from_plain(plain | {"peak_bytes": 2**30})
    assert known.peak_bytes == 2**30 and Record.from_plain(known.plain()) == known
