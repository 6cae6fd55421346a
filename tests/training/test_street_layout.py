"""Street data on disk: layouts, label tables, strategies; what is read and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from training.errors import UserError
from training.scenes import StreetData
from training.street_data import load_streets
from training.street_layout import IGNORED, LAYOUTS, LabelTable, Layout

SIZE = (32, 48)
TABLE = {"classes": {"road": [7], "car": [26, 300]}, "ignored": [0]}


def save_image(path: Path, shade: int = 100, px: tuple[int, int] = (96, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", px, (shade, shade, shade)).save(path)


def save_labels(path: Path, left: int = 7, right: int = 26, px: tuple[int, int] = (96, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((px[1], px[0]), left, np.uint16 if max(left, right) > 255 else np.uint8)
    values[:, px[0] // 2 :] = right
    Image.fromarray(values).save(path)


def lay_out(root: Path, layout: Layout, *, below: str = "") -> None:
    """Two images for training and one for validation."""
    for split, names in ((layout.train, ("a", "b")), (layout.val, ("c",))):
        for shade, name in enumerate(names, 100):
            images, labels = (p.format(split=split) for p in (layout.images, layout.labels))
            save_image(root / images / below / f"{name}{layout.image_suffix}.png", shade)
            save_labels(root / labels / below / f"{name}{layout.label_suffix}.png")


def write_table(root: Path, **more: object) -> None:
    (root / "labels.yaml").write_text(yaml.safe_dump(TABLE | more, sort_keys=False))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "streets"
    lay_out(root, Layout())
    write_table(root)
    return root


def load(folder: Path, strategy: str = "none") -> StreetData:
    return load_streets(str(folder), SIZE, strategy)


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    lay_out(tmp_path / "data", LAYOUTS[name])
    write_table(tmp_path / "data", layout=name)
    data = load(tmp_path / "data")
    assert (len(data.train), len(data.val), data.classes) == (2, 1, ("road", "car"))
    images, classes = data.train.take(torch.tensor([1]))
    assert images.shape == (1, 3, *SIZE) and torch.allclose(images, torch.tensor(101 / 255))
    assert (classes[0, :, :24] == 0).all() and (classes[0, :, 24:] == 1).all()


def test_a_layout_of_ones_own(folder: Path) -> None:
    own = Layout(images="pictures/{split}", labels="masks/{split}", label_suffix="_ids")
    lay_out(folder, own)
    write_table(folder, layout=own.model_dump())
    assert len(load(folder).train) == 2


def test_values_above_255_and_ignored_ones(folder: Path) -> None:
    save_labels(folder / "labels/train/a.png", left=0, right=300)
    _, classes = load(folder).train.take(torch.tensor([0]))
    assert set(classes[0, :, 0].tolist()) == {IGNORED} and set(classes[0, :, -1].tolist()) == {1}


def test_folders_below_the_split_are_domains(folder: Path) -> None:
    write_table(folder, layout={"images": "im/{split}", "labels": "lb/{split}"})
    own = Layout(images="im/{split}", labels="lb/{split}")
    lay_out(folder, own, below="clear")
    lay_out(folder, own, below="fog")
    data = load(folder)
    assert data.domains == ("clear", "fog") and data.domain_of.tolist() == [0, 1]


def make_strategy(folder: Path, names: tuple[str, ...], *, labels: bool = False) -> Path:
    made = folder / "strategies" / "gen"
    for shade, name in enumerate(names, 200):
        save_image(made / "images" / f"{name}.png", shade)
        if labels:
            save_labels(made / "labels" / f"{name}.png", left=26, right=7)
    return made


def test_a_strategy_gives_variants_with_the_labels_of_their_images(folder: Path) -> None:
    make_strategy(folder, ("a", "b__fog", "b__rain"))
    variants = load(folder, "gen").variants
    assert variants is not None and variants.first.tolist() == [0, 1, 3]
    images, classes = variants.scenes.take(torch.tensor([2]))
    assert torch.allclose(images, torch.tensor(202 / 255)) and classes[0, 0, 0] == 0


@pytest.mark.parametrize("own", [False, True], ids=["theirs", "own"])
@pytest.mark.parametrize("suffixed", [False, True], ids=["plain", "suffixed"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_variant_may_have_the_suffix_of_the_images(
    name: str, suffixed: bool, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    layout, images = LAYOUTS[name], tmp_path / "strategies/gen/images"
    lay_out(tmp_path, layout, below="old__town")
    write_table(tmp_path, layout=name)
    for variant in ("a{}", "b{}__fog", "b{}__rain", "b__3{}"):
        save_image(
            images / "old__town" / f"{variant.format(layout.image_suffix * suffixed)}.png", 200
        )
        if own:
            labels = f"{variant.format(layout.label_suffix * suffixed)}.png"
            save_labels(images.parent / "labels/old__town" / labels, left=26, right=7)
    variants = load(tmp_path, "gen").variants
    assert variants is not None and variants.first.tolist() == [0, 1, 4]
    assert (variants.scenes.take(torch.tensor([3]))[1][0, 0, 0] == 1) == own


def test_a_strategy_may_have_labels_of_its_own_and_lie_elsewhere(folder: Path) -> None:
    made = make_strategy(folder, ("a", "b"), labels=True)
    elsewhere = made.rename(folder.parent / "gen")
    variants = load(folder, str(elsewhere)).variants
    assert variants is not None
    assert variants.scenes.take(torch.tensor([0]))[1][0, 0, 0] == 1


def test_two_strategies_are_two_data_sets(folder: Path) -> None:
    make_strategy(folder, ("a", "b"))
    assert load(folder).digest == load(folder).digest != load(folder, "gen").digest


def refused(folder: Path, strategy: str = "none") -> str:
    with pytest.raises(UserError) as told:
        load(folder, strategy)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_value_that_the_table_has_not(folder: Path) -> None:
    save_labels(folder / "labels/train/b.png", right=9)
    said = refused(folder)
    assert "b.png: 3072 pixels have a value that is not in the label table: 9;" in said


def test_sizes_that_differ(folder: Path) -> None:
    save_labels(folder / "labels/val/c.png", px=(96, 65))
    assert "c.png: is 96 x 65 px, its image c.png is 96 x 64 px" in refused(folder)


def test_a_colour_image_as_labels(folder: Path) -> None:
    save_image(folder / "labels/train/a.png")
    assert "a.png: is a colour image (RGB)" in refused(folder)


def test_an_image_without_labels_and_labels_without_an_image(folder: Path) -> None:
    (folder / "labels/train/a.png").rename(folder / "labels/train/d.png")
    assert refused(folder).endswith(
        "images/train/a.png: has no labels in " + str(folder / "labels/train")
    )
    save_labels(folder / "labels/train/a.png")
    assert "labels/train/d.png: has no image in" in refused(folder)


def test_a_strategy_that_lacks_images(folder: Path) -> None:
    made = make_strategy(folder, ("a",))
    assert "lacks images of 1 of 2 training images, such as b.png" in refused(folder, "gen")
    (made / "images" / "a.png").unlink()
    assert "images: holds no images" in refused(folder, "gen")


def test_a_strategy_that_lacks_labels(folder: Path) -> None:
    made = make_strategy(folder, ("a", "b"), labels=True)
    (made / "labels" / "b.png").unlink()
    assert "images/b.png: has no labels in" in refused(folder, "gen")
    save_image(made / "images" / "x.png")
    (made / "labels").rename(folder / "unused")
    assert "x.png: is of no training image, and so has no labels" in refused(folder, "gen")


def test_a_strategy_that_there_is_not(folder: Path) -> None:
    make_strategy(folder, ("a", "b"))
    assert "unknown strategy in" in (said := refused(folder, "gan")) and "none, gen" in said


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"classes": {"road": [7]}}, "classes: Dictionary should have at least 2 items"),
        ({"classes": {"a": [1], "b": [1]}}, "classes.b: 1 is in 'a' already"),
        ({"classes": {"a": [1], "b": [255]}}, "classes.b: 255 is in 'ignored' already"),
        ({"classes": {"a": [1], "b": [2]}, "layout": "bdd"}, "did you mean 'bdd10k'"),
        ({"clases": {}}, "did you mean 'classes'"),
        ([1], "must hold the field `classes`"),
    ],
)
def test_a_label_table_that_cannot_be(table: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(yaml.safe_dump(table))
    with pytest.raises(UserError, match=f"label table .*{said}"):
        LabelTable.read(path)
