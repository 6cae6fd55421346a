"""The state is saved while it is evaluated; the record comes last, and a failure leaves nothing."""

import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.helpers import TinyTask, facts, run, same, schedule, stage, state, trainer
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.encoding import Stopped
from training.live import Live
from training.record import Record
from training.saving import Saving
from training.schedule import Schedule
from training.segment import evaluate_segment, train_segment
from training.settings import Place, Settings
from training.store import Store
from training.task import Task, Totals, facts_of
from training.trouble import StoreFull

PLAN = schedule(stage(epochs=1, ema_decay=0.9))
TINY = TinyTask()
KEY = "ab" * 32
STATE: dict[str, Any] = {"models": {str(n): torch.arange(1000.0) for n in range(20)}}
WAIT_S = 20.0


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class Evaluating(TinyTask):
    """Tells when it is evaluated, and does then what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.error = Event(), BaseException()
        self.wait_for = Event()

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        self.begun.set()
        assert self.wait_for.wait(WAIT_S)
        if type(self.error) is not BaseException:
            raise self.error
        return super().evaluate(models, settings, rank)


class Writing(Store):
    """Tells when a state begins to be written, and when it was."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.begun, self.done, self.wait_for = Event(), Event(), Event()
        self.wait_for.set()

    def publish_state(self, key: str, state: dict[str, Any], stop: Event | None = None) -> None:
        self.begun.set()
        assert self.wait_for.wait(WAIT_S)
        super().publish_state(key, state, stop)
        self.done.set()


def test_a_state_is_written_while_it_is_evaluated(tmp_path: Path) -> None:
    """The evaluation goes on only when the whole state is there, and no record is."""
    task, store = Evaluating(), Writing(str(tmp_path))
    task.wait_for = store.done
    (visit,) = run(PLAN, store, task)
    assert visit.record.write_s > 0
    assert visit.record.save_s < visit.record.eval_s
    plain = Store(str(tmp_path / "plain"))
    run(PLAN, plain, TINY)
    same(state(plain, visit.record.key), state(store, visit.record.key))


def test_the_record_comes_after_the_state(tmp_path: Path) -> None:
    class Slow(Writing):
        def publish_state(self, key: str, state: dict[str, Any], stop: Event | None = None) -> None:
            time.sleep(0.3)
            assert Store(self.url).record(key) is None
            super().publish_state(key, state, stop)

    (visit,) = run(PLAN, Slow(str(tmp_path)), TINY)
    assert visit.record.save_s > 0.1, "the rest of the writing was waited for"
    assert visit.record.device_s >= visit.record.save_s + visit.record.train_s
    assert Store(str(tmp_path)).has_state(visit.record.key)


@pytest.mark.parametrize("error", [ValueError("evaluation"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("written", [False, True])
def test_an_evaluation_that_ends_early_leaves_nothing(
    error: BaseException, written: bool, tmp_path: Path
) -> None:
    task, store = Evaluating(), Writing(str(tmp_path))
    task.error, task.wait_for = error, store.done if written else store.begun
    if not written:
        store.wait_for = task.begun
    warm = trainer(task, store)
    with pytest.raises(type(error)):
        run(PLAN, store, task, by=warm)
    assert files(tmp_path) == []
    task.error, task.wait_for = BaseException(), store.begun
    run(PLAN, store, task, by=warm)
    plain = Store(str(tmp_path / "plain"))
    (visit,) = run(PLAN, plain, TINY)
    same(state(plain, visit.record.key), state(store, visit.record.key))


def test_a_full_disk_is_told_after_the_evaluation(tmp_path: Path) -> None:
    class Full(Store):
        def publish_state(self, key: str, state: dict[str, Any], stop: Event | None = None) -> None:
            raise StoreFull("store: no room")

    task = Evaluating()
    task.wait_for.set()
    with pytest.raises(StoreFull, match="no room"):
        run(PLAN, Full(str(tmp_path)), task)
    assert task.begun.is_set() and files(tmp_path) == []


def test_a_writing_that_is_called_off_ends_within_a_tensor(tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        Store(str(tmp_path)).publish_state(KEY, STATE, stop)
    assert files(tmp_path) == []


def test_a_state_that_is_called_off_stays_where_there_is_a_record(tmp_path: Path) -> None:
    """Somebody else trained the same segment, and finished."""
    store = Store(str(tmp_path))
    (visit,) = run(PLAN, store, TINY)
    key = visit.record.key
    with pytest.raises(ValueError), Saving(store, key, state(store, key)):
        raise ValueError
    assert store.has_state(key)


def test_ctrl_c_while_the_rest_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Writing(str(tmp_path))
    store.wait_for.clear()
    saving = Saving(store, KEY, STATE)
    join = saving._thread.join

    def interrupted(timeout: float | None = None) -> None:
        if timeout is None:
            raise KeyboardInterrupt
        store.wait_for.set()
        join(timeout)

    monkeypatch.setattr(saving._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt), saving:
        pass
    assert not saving._thread.is_alive() and files(tmp_path) == []


def cases() -> dict[str, tuple[Task, Schedule]]:
    cyclic = Cyclic(CyclicConfig(identities=6, images=2, blocks=2, width=4))
    step: dict[str, Any] = {"epochs": 1, "batch_size": 4, "segment_iterations": 1}
    return {
        "batchnorm": (TINY, PLAN),
        "bf16": (TinyTask(size=32), schedule(stage(epochs=1), compute={"precision": "bf16"})),
        "dsr": (cyclic, schedule(stage(model="dsr", data="source", **step))),
        "edgeface": (cyclic, schedule(stage(model="edgeface", **step))),
    }


@pytest.mark.parametrize("case", ["batchnorm", "bf16", "dsr", "edgeface"])
def test_an_evaluation_does_not_change_what_is_saved(case: str) -> None:
    task, plan = cases()[case]
    settings = plan.next([], facts_of(task, seed=0, place=Place()))
    assert settings is not None
    live = Live(task, 0, "cpu")
    train_segment(live, task, settings, seed=0)
    captured = live.capture()
    before = cloned(captured)
    evaluate_segment(live, task, settings)
    same(before, captured)
    same(before, live.capture())


def cloned(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, Mapping):
        return {name: cloned(part) for name, part in value.items()}
    return [cloned(part) for part in value] if isinstance(value, list) else value


def test_older_records_do_not_know_how_long_saving_took(tmp_path: Path) -> None:
    (visit,) = run(PLAN, Store(str(tmp_path)), TINY)
    plain = visit.record.plain()
    older = Record.from_plain({k: v for k, v in plain.items() if k not in ("save_s", "write_s")})
    assert (older.save_s, older.write_s) == (0.0, 0.0)
    assert not {"save_s", "write_s"} & set(older.plain())
    assert Record.from_plain(plain) == visit.record
    assert facts(TINY).root == visit.record.parent
