"""`thaw data faces`: what is written is what is drawn, and nothing is overwritten."""

from pathlib import Path

import pytest
import torch

from tests.thaw.helpers import Thaw
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
