"""What a recipe knows of its data."""

from pathlib import Path

from trainables.situation import situation_of
from training.classification import ClassifierConfig


def test_only_images_are_counted(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for kind in (".jpg", ".PNG", ".txt", ".json"):
            (folder / f"{number}{kind}").touch()
    assert situation_of(ClassifierConfig(data=str(tmp_path))).num_train == 4
