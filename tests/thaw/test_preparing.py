"""Progress of decoding: on stderr, only where something is decoded, from every command."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.thaw.helpers import Thaw, write_images
from thaw.preparing import Bar

FOLDERS = ("train/cat", "train/dog", "val/cat", "val/dog")
STUDY = "unfreeze_timing"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder with images, and keep decoded ones there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    write_images(tmp_path / "photos", *FOLDERS)


def test_a_terminal_is_shown_how_far_it_is_and_the_time_left() -> None:
    text = StringIO()
    bar = Bar(Console(file=text, force_terminal=True, width=100))
    for done in range(1, 4):
        bar(done, 8)
    bar._progress.refresh()
    bar.close()
    assert "decoding images" in text.getvalue()
    assert "3/8" in text.getvalue()
    assert "left" in text.getvalue()
    assert "decoded" not in text.getvalue(), "it was not finished"


@pytest.mark.parametrize(("every_s", "num_lines"), [(0.0, 3), (60.0, 0)])
def test_a_log_is_told_now_and_then(every_s: float, num_lines: int) -> None:
    text = StringIO()
    bar = Bar(Console(file=text), every_s)
    for done in range(1, 5):
        bar(done, 4)
    bar.close()
    *lines, end = text.getvalue().splitlines()
    assert lines == [f"decoding images: {done} of 4, 0 s left" for done in range(1, 1 + num_lines)]
    assert end == "decoded 4 images in 0 s, once for all"


def test_a_bar_that_is_never_called_shows_nothing() -> None:
    text = StringIO()
    Bar(Console(file=text, force_terminal=True)).close()
    assert text.getvalue().strip() == ""


@pytest.mark.parametrize("command", ["plan", "search"])
def test_a_command_tells_of_decoding_once(command: str, thaw: Thaw) -> None:
    """A search is refused afterwards: at this address there is no Ray."""
    address = ("--address", "127.0.0.1:1") if command == "search" else ("--json",)
    errors = [thaw(command, STUDY, *address, "--data", "photos")[2] for _ in range(2)]
    assert errors[0].startswith("decoded 4 images in 0 s, once for all\n")
    assert "images" not in errors[1]


def test_a_wrong_model_is_told_before_anything_is_decoded(thaw: Thaw) -> None:
    sets = ("--data", "photos", "--set", "model=test_resent")
    assert thaw.refused("plan", STUDY, *sets).startswith("unknown model 'test_resent'")
