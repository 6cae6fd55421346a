"""The pool does not wait for ever for workers that never come."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.thaw.helpers import spec
from tests.trainables.helpers import facts
from trainables import pool
from trainables.mailbox import Job
from trainables.pool import Pool, Workers

pytestmark = pytest.mark.usefixtures("ray_session")


def test_a_start_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hung = threading.Event()
    monkeypatch.setattr(pool, "_trainer", lambda *_, **__: SimpleNamespace(fit=hung.wait))
    monkeypatch.setattr(pool, "_SPARE_S", 1.0)
    monkeypatch.setattr(pool, "_STOP_S", 0.1)
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "0")
    workers = Pool(Workers(store=str(tmp_path)))
    try:
        with pytest.raises(RuntimeError, match=r"no training worker came within 1 s"):
            workers.train(Job(spec(1e-3), facts(), ()))
        assert not workers.usable, "the slot must close it, and start again"
    finally:
        hung.set()
        workers.close()
