"""`thaw data streets`: what it draws is what the loader reads, the same for the same arguments."""

import filecmp
from pathlib import Path

import numpy as np
import pytest

from tests.thaw.helpers import Thaw
from training.street_data import load_streets
from training.street_sample import CLASSES, STRATEGIES, adverse, draw_street

SIZE = ("--images", "16", "--height", "32", "--width", "48")


@pytest.fixture
def thaw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Thaw:
    return Thaw(monkeypatch, capsys)


def test_the_set_is_read_as_it_was_written(
    thaw: Thaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "city"
    code, out, _ = thaw("data", "streets", folder, "--adverse", "fog,night", *SIZE)
    assert code == 0 and "12 images for training, 4 for validation" in out
    for strategy in ("none", *STRATEGIES):
        data = load_streets(str(folder), (32, 48), strategy)
        assert (len(data.train), len(data.val), data.classes) == (12, 4, CLASSES)
        assert data.domains == ("clear", "fog", "night")
        assert (data.variants is None) == (strategy == "none")


def test_the_same_arguments_give_the_same_files(thaw: Thaw, tmp_path: Path) -> None:
    for name in ("one", "two"):
        thaw("data", "streets", tmp_path / name, *SIZE)
    files = [str(p.relative_to(tmp_path / "one")) for p in (tmp_path / "one").rglob("*.*")]
    same, differing, failed = filecmp.cmpfiles(
        tmp_path / "one", tmp_path / "two", files, shallow=False
    )
    assert (len(same), differing, failed) == (len(files), [], []) and len(files) > 80


def test_nothing_is_overwritten_and_an_unknown_kind_is_told(thaw: Thaw, tmp_path: Path) -> None:
    assert "did you mean 'night'" in thaw.refused(
        "data", "streets", tmp_path / "new", "--adverse", "fog,nigt"
    )
    (tmp_path / "there").write_text("x")
    assert "is there already" in thaw.refused("data", "streets", tmp_path)


def test_weather_hides_and_leaves_the_labels() -> None:
    scene = draw_street((64, 96), (0, 1))
    assert scene[0].min() >= 0 and scene[0].max() <= 1
    for kind in ("fog", "night"):
        shown, labels = adverse(scene, kind, (1,))
        assert np.array_equal(labels, scene[1])
        assert shown.std() < scene[0].std(), f"{kind} has more contrast"


def test_strategies_differ_in_how_well_labels_fit() -> None:
    """The mean spread of colour within a class is small where labels fit the picture."""

    def spread(strategy: str) -> float:
        found = []
        for number in range(8):
            own, other = (draw_street((64, 96), (0, seed)) for seed in (number, 99))
            shown, labels = STRATEGIES[strategy](own, other, "fog", (number,))
            found += [shown[labels == c].std(0).mean() for c in range(3) if (labels == c).any()]
        return float(np.mean(found))

    assert spread("gen_real") < spread("poor") and spread("cut_mix") < spread("poor")
