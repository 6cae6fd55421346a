"""`thaw data camouflage`: the layout, the same files for the same arguments, no overwriting."""

import filecmp
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from thaw import sample_set
from thaw.cli import app
from thaw.sample_set import write_sample_set
from training.camouflage_folder import load_camouflage
from training.errors import UserError


def write(folder: Path, **fields: Any) -> str:
    options: dict[str, Any] = {"num": 8, "difficulty": 0.4, "size": 32, "seed": 0} | fields
    console = Console(file=io.StringIO(), width=200)
    write_sample_set(folder, **options, console=console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_set_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    said = write(tmp_path / "camo")
    assert "6 images for training, 2 for testing" in said
    data = load_camouflage(str(tmp_path / "camo"), 32)
    assert (len(data.train), len(data.val)) == (6, 2)
    assert files(tmp_path / "camo")[:3] == [
        "Test/GT_Object/camouflage-00006.png",
        "Test/GT_Object/camouflage-00007.png",
        "Test/Image/camouflage-00006.jpg",
    ]


def test_the_same_arguments_give_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        write(tmp_path / name, seed=seed)
    names = files(tmp_path / "one")
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False)[0] == names
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "three", names, shallow=False)[0] == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "camo").mkdir()
    (tmp_path / "camo" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match=r"camo: is there already, and nothing is overwritten"):
        write(tmp_path / "camo")
    assert files(tmp_path / "camo") == ["mine.txt"]


def test_an_interrupted_set_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sample_set, "draw_scene", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "camo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("difficulty", [-0.1, 1.1, float("nan")])
def test_a_difficulty_out_of_range_is_refused(difficulty: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--difficulty .*: must be from 0 .* to 1"):
        write(tmp_path / "camo", difficulty=difficulty)


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    folder = str(tmp_path / "camo")
    made = CliRunner().invoke(app, ["data", "camouflage", folder, "--images", "4", "--size", "32"])
    assert made.exit_code == 0, made.output
    assert f"thaw search stage2_lr --data {folder}" in made.output
