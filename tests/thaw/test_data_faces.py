"""`thaw data faces`: what is written is what is drawn, and nothing is overwritten."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.thaw.helpers import Thaw
from thaw import face_set
from training.faces import drawn_faces, load_faces


@pytest.fixture
def written(thaw: Thaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "people"
    numbers = ("--identities", 5, "--images", 2, "--seed", 3)
    code, out, err = thaw("data", "faces", folder, *numbers)
    assert code == 0, err
    assert "3 people in train, 2 people in test, 2 images each" in out
    return folder


def test_the_folder_holds_the_drawn_faces(written: Path) -> None:
    found, drawn = load_faces(str(written), held_out=0.5), drawn_faces(5, 2, 3)
    assert (found.identities, found.held_out) == (drawn.identities, drawn.held_out)
    for one, other in ((found.train, drawn.train), (found.test, drawn.test)):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.labels, other.labels)


def test_nothing_is_overwritten_and_nothing_is_left_behind(written: Path, thaw: Thaw) -> None:
    line = thaw.refused("data", "faces", written)
    assert line.endswith("is there already, and nothing is overwritten; name a new one")
    assert sorted(p.name for p in written.parent.iterdir()) == ["cache", "people"] or sorted(
        p.name for p in written.parent.iterdir()
    ) == ["people"]


@pytest.mark.parametrize("option", ["--identities", "--images"])
def test_too_few_are_refused(option: str, thaw: Thaw, tmp_path: Path) -> None:
    code, _, err = thaw("data", "faces", tmp_path / "people", option, 1)
    assert code == 2
    assert option in err
    assert not (tmp_path / "people").exists()


@pytest.mark.parametrize("name", [".", "link"])
def test_an_empty_folder_is_filled_as_it_is(
    name: str, thaw: Thaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    before = folder.stat().st_ino
    monkeypatch.chdir(folder if name == "." else tmp_path)
    code, out, err = thaw("data", "faces", name, "--identities", 4, "--images", 2)
    assert code == 0, err
    assert f"wrote {name}: " in out
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train"]
    assert folder.stat().st_ino == before and (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "people"]


def test_an_empty_folder_is_empty_again_where_drawing_is_interrupted(
    thaw: Thaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(face_set, "draw_faces", full)
    monkeypatch.chdir(tmp_path)
    code, _, err = thaw("data", "faces", ".")
    assert (code, err) == (2, "thaw: .: No space left on device\n")
    assert list(tmp_path.iterdir()) == []
