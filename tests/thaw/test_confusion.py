"""Confusion matrices as a user sees them: a table, a picture, an image in TensorBoard."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.thaw.helpers import Thaw
from thaw.confusion import StageEnd, show_confusion, stage_ends
from thaw.confusion_picture import picture, size_of
from training.confusion import Confusion
from training.record import Record
from training.walk import UNKNOWN

NAMES = ("cat", "[red]dog[/]", "<b>")


def record(index: int, rows: list[list[int]], data: str = "target") -> Record:
    """Return a record with a confusion."""
    plain = UNKNOWN.plain() | {"index": index, "data": data}
    return Record(**plain, tables={"val_confusion": rows} if rows else {})


def end(stage: str, epoch: int, *rows: tuple[int, int, int]) -> StageEnd:
    return StageEnd(stage, epoch, epoch, Confusion(rows))


ENDS = [
    end("head", 2, (0, 0, 5), (0, 1, 5), (1, 1, 10), (2, 0, 4)),
    end("full", 6, (0, 0, 10), (1, 1, 9), (1, 2, 1), (2, 2, 4)),
]


def shown(ends: list[StageEnd], names: tuple[str, ...] = NAMES) -> str:
    file = io.StringIO()
    show_confusion(Console(file=file, width=200), ends, names)
    return file.getvalue()


def test_the_last_segment_of_each_stage_counts() -> None:
    visited = [
        ("pretrain", record(0, [[0, 0, 9]], data="source")),
        ("head", record(1, [[0, 0, 1]])),
        ("head", record(2, [[0, 0, 2]])),
        ("full", record(3, [[0, 0, 3]])),
    ]
    found = stage_ends(visited, "target")
    assert [(e.stage, e.epoch, e.segment, e.confusion.rows) for e in found] == [
        ("head", 2, 3, ((0, 0, 2),)),
        ("full", 3, 4, ((0, 0, 3),)),
    ]


def test_segments_that_were_not_counted_show_nothing() -> None:
    assert stage_ends([("head", record(0, []))], "target") == []
    assert shown([]) == ""


def test_the_table_says_which_classes_improved() -> None:
    lines = shown(ENDS).splitlines()
    cat = next(line for line in lines if line.startswith("cat"))
    assert cat.split() == ["cat", "10", "50.0", "%", "100.0", "%", "(+50.0)"]
    dog = next(line for line in lines if line.startswith("[red]dog[/]"))
    assert dog.split()[-3:] == ["90.0", "%", "(-10.0)"]
    everything = next(line for line in lines if line.startswith("all"))
    assert everything.split() == ["all", "24", "62.5", "%", "95.8", "%", "(+33.3)"]
    assert "confused most after full: [red]dog[/] taken for <b> (1 of 10)" in shown(ENDS)


def test_of_many_classes_those_that_changed_most_are_shown() -> None:
    first = end(
        "head", 1, *((at, at, 1) for at in range(100)), *((at, 0, 9) for at in range(1, 50))
    )
    last = end("full", 2, *((at, at, 10) for at in range(100)))
    text = shown([first, last], ())
    assert "the 20 of 100 that changed most" in text
    assert len([line for line in text.splitlines() if "%" in line]) == 21


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_picture_has_a_panel_for_each_stage() -> None:
    one, two = picture(ENDS[:1], NAMES), picture(ENDS, NAMES)
    assert size_of(two)[0] > 1.8 * size_of(one)[0]
    assert size_of(one) == Image.open(io.BytesIO(one)).size
    blue = (pixels(two) == (43, 108, 176)).all(axis=2)
    assert blue.sum() > 1000, "a class that is all right is all blue"


def test_the_picture_of_a_thousand_classes_is_small() -> None:
    rows = [(at, at, 40) for at in range(1000)] + [(at, at + 1, 10) for at in range(256)]
    png = picture([end("full", 1, *rows)], ())
    assert len(png) < 100_000
    assert max(size_of(png)) < 1500


def test_names_of_any_kind_can_be_drawn() -> None:
    for name in ("", "\u2603", "a" * 500, "<img src=x>", "\U0001f40d"):
        assert picture(ENDS, (name, name, name))[:4] == b"\x89PNG"


@pytest.fixture(scope="module")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    path = folder / "schedule.yaml"
    path.write_text(
        "system: classifier\ntask: {model: test_resnet, image_size: 16}\nschedule:\n  stages:\n"
        "  - {name: head, epochs: 1, lr: 0.01, groups: {head: 1.0, '*': frozen}}\n"
        "  - {name: full, epochs: 2, lr: 0.001}\n"
    )
    return path


def test_train_shows_the_classes_and_writes_the_picture(
    schedule: Path, tmp_path: Path, thaw: Thaw
) -> None:
    arguments = ("--store", tmp_path / "store", "--out", tmp_path / "out")
    code, text, err = thaw("train", schedule, *arguments)
    assert code == 0, err
    assert "recognised of each class at the end of each stage" in text
    assert "head, epoch 1" in text and "full, epoch 3" in text
    assert (tmp_path / "out/confusion.png").read_bytes()[:4] == b"\x89PNG"
    code, text, err = thaw(
        "check", "confusion", schedule, "--store", tmp_path / "store", "--out", tmp_path / "c.png"
    )
    assert code == 0, err
    assert "full, epoch 3" in text
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "out/confusion.png").read_bytes()


def test_what_was_not_trained_is_one_line(schedule: Path, tmp_path: Path, thaw: Thaw) -> None:
    told = thaw.refused("check", "confusion", schedule, "--store", tmp_path / "none")
    assert "nothing of" in told and "thaw train" in told
    assert "no folder" in thaw.refused("check", "confusion", schedule, "--trial", "0001")
    assert "no results of a search" in thaw.refused("check", "confusion", tmp_path)
