"""COD10K's layout: what is read, what is mended, what is refused; and the scenes we draw."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.camouflage import sample_data
from training.camouflage_folder import load_camouflage
from training.camouflage_sample import draw_scene
from training.errors import UserError
from training.masked import MaskedData, MaskedImages
from training.schedule import Schedule, Stage
from training.settings import Settings

SIZE = 32


def mask_of(height: int = 40, width: int = 60) -> np.ndarray:
    made = np.zeros((height, width), np.uint8)
    made[10:30, 20:40] = 255
    return made


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images for training and one for testing, all 60 x 40 px, and an empty cache."""
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    root, random = tmp_path / "camo", np.random.default_rng(0)
    for split, names in (("Train", ("a", "b")), ("Test", ("c",))):
        for name in names:
            pixels = random.integers(0, 256, (40, 60, 3), dtype=np.uint8)
            save(root / split / "Image" / f"{name}.jpg", pixels)
            save(root / split / "GT_Object" / f"{name}.png", mask_of())
    return root


def load(folder: Path, **options: Any) -> MaskedData:
    return load_camouflage(str(folder), SIZE, **options)


def test_images_and_masks_are_squeezed_to_a_square(folder: Path) -> None:
    data = load(folder)
    assert data.train.pixels.shape == (2, 4, SIZE, SIZE) and len(data.val) == 1
    with Image.open(folder / "Train" / "Image" / "b.jpg") as image:
        expected = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    assert (data.train.pixels[1, :3].permute(1, 2, 0).numpy() == expected).all()
    mask = data.train.pixels[0, 3]
    assert set(mask.unique().tolist()) == {0, 255}
    rows, columns = mask.nonzero().T
    assert (int(rows.min()), int(rows.max())) == (8, 23), "10 to 29 of 40"
    assert (int(columns.min()), int(columns.max())) == (11, 20), "20 to 39 of 60"


def test_it_is_decoded_once(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    load(folder, progress=lambda done, num: calls.append((done, num)))
    load(folder, progress=lambda done, num: calls.append((done, num)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_an_image_without_a_mask_is_refused(folder: Path) -> None:
    (folder / "Train" / "GT_Object" / "b.png").unlink()
    with pytest.raises(UserError, match=r"Image/b\.jpg: has no mask .*GT_Object/b\.\*"):
        load(folder)


def test_a_mask_without_an_image_is_refused(folder: Path) -> None:
    (folder / "Test" / "Image" / "c.jpg").rename(folder / "Test" / "Image" / "d.jpg")
    with pytest.raises(UserError, match=r"Image/d\.jpg: has no mask"):
        load(folder)
    save(folder / "Test" / "GT_Object" / "d.png", mask_of())
    with pytest.raises(UserError, match=r"GT_Object/c\.png: has no image .*Image/c\.\*"):
        load(folder)


def test_a_mask_of_another_size_is_refused(folder: Path) -> None:
    save(folder / "Train" / "GT_Object" / "a.png", mask_of(40, 61))
    with pytest.raises(UserError, match=r"a\.png: is 61 x 40 px, its image a\.jpg is 60 x 40 px"):
        load(folder)


def test_a_mask_that_is_not_binary_is_refused(folder: Path) -> None:
    grey = np.tile(np.linspace(0, 255, 60, dtype=np.uint8), (40, 1))
    save(folder / "Train" / "GT_Object" / "a.png", grey)
    with pytest.raises(UserError, match=r"a\.png: is not binary: 78 % of its pixels .*60 differ"):
        load(folder)
    assert not list(folder.parent.glob("cache/*")), "a cache of what was refused"


def test_soft_edges_are_cut_in_the_middle(folder: Path) -> None:
    before = load(folder).train.pixels[0].clone()
    soft = mask_of()
    soft[9, 20:40] = 120  # 20 of 2,400 pixels
    save(folder / "Train" / "GT_Object" / "a.png", soft)
    assert torch.equal(load(folder).train.pixels[0], before)


def test_masks_of_0_and_1_and_of_one_bit_are_binary(folder: Path) -> None:
    before = load(folder).train.pixels[0].clone()
    save(folder / "Train" / "GT_Object" / "a.png", mask_of() // 255)
    assert torch.equal(load(folder).train.pixels[0], before)
    save(folder / "Train" / "GT_Object" / "a.png", mask_of() > 0)
    assert torch.equal(load(folder).train.pixels[0], before)


def test_a_grey_image_has_three_equal_channels(folder: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (40, 60), dtype=np.uint8)
    (folder / "Train" / "Image" / "a.jpg").unlink()
    save(folder / "Train" / "Image" / "a.png", grey)
    red, green, blue, _ = load(folder).train.pixels[0]
    assert torch.equal(red, green) and torch.equal(green, blue)
    assert len(red.unique()) > 10


def test_images_without_an_object_are_left_out_unless_asked_for(folder: Path) -> None:
    empty = "COD10K-NonCAM-1"
    save(folder / "Train" / "Image" / f"{empty}.jpg", np.zeros((40, 60, 3), np.uint8))
    save(folder / "Train" / "GT_Object" / f"{empty}.png", np.zeros((40, 60), np.uint8))
    assert len(load(folder).train) == 2
    assert len(load(folder, with_empty=True).train) == 3


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("Train/GT_Object", r"GT_Object: no such folder; wanted: Train/Image, Train/GT_Object, Te"),
        ("Test", r"Test/Image: no such folder"),
        ("", r"camo: no such folder"),
    ],
)
def test_a_missing_folder_is_named(folder: Path, missing: str, message: str) -> None:
    (folder / missing).rename(folder.parent / "away")
    with pytest.raises(UserError, match=message):
        load(folder)


def test_a_folder_without_images_and_a_broken_image_are_named(folder: Path) -> None:
    (folder / "Train" / "Image" / "a.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"image .*a\.jpg: cannot be read"):
        load(folder)
    for path in (folder / "Test" / "Image").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"Test/Image: holds no images"):
        load(folder)


def test_scenes_are_drawn_alike_and_each_is_another() -> None:
    one, again, other = (draw_scene(48, 0.4, seed) for seed in ((0, 1), (0, 1), (0, 2)))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert (one[0] != other[0]).any() and (one[1] != other[1]).any()


def test_the_object_fades_as_difficulty_grows() -> None:
    """What is within the outline differs from the same scene without an object, ever less."""

    def traces(difficulty: float) -> float:
        found = []
        for number in range(20):
            pixels, mask = draw_scene(48, difficulty, (3, number))
            bare, _ = draw_scene(48, 1.0, (3, number))
            change = np.abs(pixels.astype(float) - bare).mean(2)
            assert (change[mask == 0] == 0).all(), "the surroundings changed too"
            found.append(change[mask == 255].mean())
        return float(np.mean(found))

    levels = [traces(difficulty) for difficulty in (0, 0.25, 0.5, 0.75, 0.95, 1)]
    assert levels == sorted(levels, reverse=True) and levels[0] > 1.5 * levels[3]
    assert levels[-1] == 0


def test_objects_take_a_fair_share_of_the_scene() -> None:
    shares = (sample_data(48).train.masks(torch.arange(256)) > 0).float().mean((1, 2, 3))
    assert float(shares.min()) > 0.02 and float(shares.max()) < 0.5


def settings(**fields: Any) -> Settings:
    from training.camouflage import Camouflage, CamouflageConfig
    from training.settings import Place
    from training.task import facts_of

    stage = Stage.parse({"name": "s", "epochs": 1, "lr": 1e-3} | fields)
    task = Camouflage(CamouflageConfig(image_size=SIZE))
    found = Schedule(stages=(stage,)).next([], facts_of(task, seed=0, place=Place()))
    assert found is not None
    return found


def test_image_and_mask_move_together() -> None:
    """On an image that is its own mask, the moved image is the moved mask but at its edges."""
    pixels = torch.zeros(8, 4, SIZE, SIZE, dtype=torch.uint8)
    pixels[:, :, 8:20, 12:28] = 255
    moves = settings(augment={"shift": 0.2, "zoom": 0.2, "rotate_deg": 20, "flip": True})
    draws = torch.rand(8, 5, generator=torch.Generator().manual_seed(0))
    images, masks = MaskedImages(pixels).augmented(torch.arange(8), draws, moves)
    bright = (images[:, :1] > images.mean()).float()
    assert set(masks.unique().tolist()) == {0, 1}
    assert float((bright != masks).float().mean()) < 0.02
    assert not torch.equal(masks[0], masks[1]), "nothing moved"


def test_another_training_size_scales_image_and_mask() -> None:
    images, masks = sample_data(SIZE).train.augmented(
        torch.arange(4), torch.zeros(4, 5), settings(image_size=48)
    )
    assert images.shape == (4, 3, 48, 48) and masks.shape == (4, 1, 48, 48)
    assert set(masks.unique().tolist()) == {0, 1}
