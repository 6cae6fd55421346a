"""Small schedules over made-up facts, records without training, and the command line in process."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console, RenderableType

from thaw.cli import main
from trainables.spec import TrialSpec
from training.keys import child_key
from training.record import Record
from training.schedule import Facts, Schedule, Stage
from training.settings import Place
from training.store import Store

FACTS = Facts(
    root="root",
    num_train=(("target", 64),),
    layers=(("model", ("stem", "head")),),
    loss=(),
    place=Place(),
)
HEAD_ONLY = {"head": 1.0, "*": "frozen"}


def spec(full_lr: float, *, head_lr: float = 1e-2, num_head: int = 2) -> TrialSpec:
    """Return a trial with `num_head` epochs of the head alone and two of everything."""
    stages = (
        Stage(name="head", epochs=num_head, lr=head_lr, groups=HEAD_ONLY),
        Stage(name="full", epochs=2, lr=full_lr),
    )
    return TrialSpec(system="classifier", schedule=Schedule(stages=stages))


def publish(store: Store, schedule: Schedule, num: int) -> None:
    """Put the first `num` segments of `schedule` into the store, untrained."""
    key, history = FACTS.root, list[Record]()
    for index in range(num):
        settings = schedule.next(history, FACTS)
        assert settings is not None, f"the schedule has only {index} segments"
        parent, key = key, child_key(key, settings)
        record = Record(
            key=key,
            parent=parent,
            index=index,
            data="target",
            metrics={"train_loss": 1.0, "val_accuracy": 0.5},
            num_steps=settings.num_steps,
            lr_first=settings.lrs[0],
            lr_last=settings.lrs[-1],
            world_size=1,
            train_s=1.0,
            eval_s=0.0,
            restore_s=0.0,
        )
        store.publish(record, {})
        history.append(record)


def text_of(renderable: RenderableType, width: int) -> str:
    """Return what a terminal of `width` columns shows."""
    file = io.StringIO()
    Console(file=file, width=width).print(renderable)
    return file.getvalue()


class Thaw:
    """The command line in this process, with what it prints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, *arguments: Any) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of `thaw ARGUMENTS`."""
        self._monkeypatch.setattr(sys, "argv", ["thaw", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int), f"exit code {code!r}"
        return code, out, err

    def refused(self, *arguments: Any) -> str:
        """Return the one line with which bad input is refused, with exit code 2."""
        code, out, err = self(*arguments)
        assert code == 2, f"exit code {code}; stderr: {err}"
        assert out == "", f"on stdout: {out}"
        assert err.count("\n") == 1 and err.endswith("\n"), f"not one line: {err}"
        assert err.startswith("thaw: "), err
        return err.removeprefix("thaw: ").rstrip("\n")


def write_yaml(folder: Path, text: str) -> Path:
    """Write a schedule file."""
    path = folder / "schedule.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def write_images(root: Path, *folders: str) -> None:
    """Write one image of 8 x 8 pixels into each of `folders`."""
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(root / folder / "0.png")
