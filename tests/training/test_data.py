"""Data: the embedded digits, folders of images, and what is done to a batch."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from sklearn import datasets

from training.digits import load_digits
from training.errors import UserError
from training.folder import load_folder
from training.images import NUM_DRAWS, augment, per_channel, prepare
from training.settings import Augment

CLASSES = ("cat", "dog")


def paint(path: Path, seed: int, size: tuple[int, int] = (30, 20)) -> np.ndarray:
    """Write a smooth random picture and return its (H, W, 3) pixels as PIL decodes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two classes of two training and one validation image, and an empty cache."""
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    for label, name in enumerate(CLASSES):
        for index in range(2):
            paint(tmp_path / "data" / "train" / name / f"{index}.jpg", 10 * label + index)
        paint(tmp_path / "data" / "val" / name / "9.PNG", 10 * label + 9, size=(20, 30))
    return tmp_path / "data"


def cache(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache").glob("*"))


def test_digits_are_those_of_scikit_learn() -> None:
    bunch = datasets.load_digits()
    data = load_digits(8)
    for name, first in (("source", 0), ("target", 5)):
        parts = [data[name].train, data[name].val]
        pixels = torch.cat([part.pixels for part in parts])
        labels = torch.cat([part.labels for part in parts]) + first
        expected = (bunch.images * (255 / 16)).round().astype(np.uint8)
        wanted = (bunch.target >= first) & (bunch.target < first + 5)
        assert sorted(map(bytes, pixels.numpy())) == sorted(map(bytes, expected[wanted]))
        assert np.bincount(labels).tolist() == np.bincount(bunch.target[wanted]).tolist()


def test_digits_are_split_alike_in_each_class() -> None:
    data = load_digits(8)
    sizes = {name: (len(part.train), len(part.val)) for name, part in data.items()}
    assert sizes == {"source": (721, 180), "target": (269, 627)}
    assert data["target"].classes == ("5", "6", "7", "8", "9")
    per_class = [round(0.3 * num) for num in np.bincount(datasets.load_digits().target)[5:]]
    assert torch.bincount(data["target"].train.labels).tolist() == per_class


@pytest.mark.parametrize("size", [16, 32])
def test_digits_are_upsampled(size: int) -> None:
    images = load_digits(size)["target"].train
    assert images.pixels.shape == (269, 1, size, size)
    assert images.pixels.dtype == torch.uint8


def test_a_folder_is_read(folder: Path) -> None:
    data = load_folder(str(folder), 16)
    assert data.classes == CLASSES
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.val.labels.tolist() == [0, 1]
    for split, images, names in (
        ("train", data.train, ["0.jpg", "1.jpg"]),
        ("val", data.val, ["9.PNG"]),
    ):
        paths = [folder / split / name / file for name in CLASSES for file in names]
        for path, pixels in zip(paths, images.pixels, strict=True):
            with Image.open(path) as image:
                expected = ImageOps.fit(image.convert("RGB"), (16, 16), Image.Resampling.BILINEAR)
            assert torch.equal(pixels.permute(1, 2, 0), torch.tensor(np.asarray(expected))), path


def test_an_image_of_the_asked_size_is_not_resampled(folder: Path) -> None:
    exact = paint(folder / "val" / "cat" / "9.PNG", 3, size=(16, 16))
    pixels = load_folder(str(folder), 16).val.pixels[0]
    assert torch.equal(pixels.permute(1, 2, 0), torch.tensor(exact))


def test_grey_and_transparent_images_become_rgb(folder: Path) -> None:
    Image.new("L", (16, 16), 77).save(folder / "val" / "cat" / "9.PNG")
    Image.new("RGBA", (16, 16), (1, 2, 3, 255)).save(folder / "val" / "dog" / "9.PNG")
    pixels = load_folder(str(folder), 16).val.pixels
    assert pixels[:, :, 0, 0].tolist() == [[77, 77, 77], [1, 2, 3]]


def test_files_that_are_no_images_are_left_out(folder: Path) -> None:
    (folder / "train" / "cat" / "notes.txt").write_text("x")
    (folder / "train" / "README").write_text("x")
    assert len(load_folder(str(folder), 16).train) == 4


def test_a_second_load_uses_the_cache(folder: Path) -> None:
    first = load_folder(str(folder), 16)
    (made,) = cache(folder)
    before = made.stat()
    calls: list[tuple[int, int]] = []
    second = load_folder(str(folder), 16, lambda done, num: calls.append((done, num)))
    after = made.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert (calls, cache(folder)) == ([], [made])
    assert torch.equal(first.train.pixels, second.train.pixels)


def test_progress_is_told_while_decoding(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    load_folder(str(folder), 16, lambda done, num: calls.append((done, num)))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_another_size_is_another_cache(folder: Path) -> None:
    load_folder(str(folder), 16)
    assert load_folder(str(folder), 24).train.pixels.shape == (4, 3, 24, 24)
    assert len(cache(folder)) == 2


def test_a_changed_image_is_decoded_again(folder: Path) -> None:
    before = load_folder(str(folder), 16).train.pixels[0].clone()
    paint(folder / "train" / "cat" / "0.jpg", 99)
    assert not torch.equal(load_folder(str(folder), 16).train.pixels[0], before)


def test_what_is_read_may_be_written_without_harm_to_the_cache(folder: Path) -> None:
    data = load_folder(str(folder), 16)
    data.train.pixels.zero_()
    assert load_folder(str(folder), 16).train.pixels.any()


def fails(folder: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_folder(str(folder), 16)
    assert "\n" not in str(error.value)
    assert cache(folder) == []


def test_a_missing_folder_is_named(folder: Path) -> None:
    fails(folder.parent / "none" / "data", r"data folder .*/none/data: no such folder")


def test_a_missing_split_is_named(folder: Path) -> None:
    (folder / "val").rename(folder / "valid")
    fails(folder, r"data folder .*/data/val: no such folder")


def test_a_split_without_classes_is_named(folder: Path) -> None:
    (folder / "train").rename(folder / "before")
    (folder / "train").mkdir()
    fails(folder, r"data folder .*/data/train: holds no class folders")


def test_an_empty_class_is_named(folder: Path) -> None:
    (folder / "train" / "eel").mkdir()
    fails(folder, r"data folder .*/data/train/eel: holds no images \(\.bmp, \.jpeg, \.jpg,")


def test_classes_that_differ_are_named(folder: Path) -> None:
    (folder / "val" / "dog").rename(folder / "val" / "hound")
    fails(folder, r"train and val must have the same class folders.*: dog, hound")


BROKEN = {
    "text": lambda data: b"not an image",
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("name", ["train/dog/1.jpg", "val/cat/9.PNG"])
def test_an_image_that_cannot_be_read_is_named(kind: str, name: str, folder: Path) -> None:
    path = folder / name
    path.write_bytes(BROKEN[kind](path.read_bytes()))
    fails(folder, rf"image .*/{name}: cannot be read \(")


def batch(num: int = 4, size: int = 12) -> torch.Tensor:
    return torch.rand(num, 3, size, size, generator=torch.Generator().manual_seed(1))


def drawn(num: int = 4, **chosen: float) -> torch.Tensor:
    """Return draws of 0.5, which change nothing, but for the `chosen` columns."""
    columns = ("rotate", "zoom", "flip", "x", "y")
    assert len(columns) == NUM_DRAWS
    return torch.tensor([[chosen.get(name, 0.5) for name in columns]]).repeat(num, 1)


ALL = Augment(shift=0.25, zoom=0.5, rotate_deg=90, flip=True)


def close(got: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    gap = float((got - expected).abs().max())
    assert gap <= tolerance, f"largest difference {gap}"


def test_no_augmentation_is_the_identity() -> None:
    assert torch.equal(augment(batch(), torch.rand(4, NUM_DRAWS), Augment()), batch())


def test_middle_draws_are_the_identity() -> None:
    close(augment(batch(), drawn(), ALL), batch())


def test_flip_is_numpys() -> None:
    close(augment(batch(), drawn(flip=0.49), ALL), torch.tensor(np.flip(batch().numpy(), 3).copy()))


def test_an_image_is_where_it_was_under_autocast() -> None:
    """Of 112 px: the middle of a pixel is no number that bf16 has."""
    images = F.interpolate(batch(), (112, 112))
    with torch.autocast("cpu", torch.bfloat16):
        close(augment(images, drawn(flip=0.49), Augment(flip=True)), images.flip(-1))


def test_nothing_is_mirrored_without_flip() -> None:
    assert torch.equal(
        augment(batch(), drawn(flip=0.0), Augment(shift=0.25)),
        augment(batch(), drawn(flip=0.9), Augment(shift=0.25)),
    )


@pytest.mark.parametrize(("axis", "column"), [(3, "x"), (2, "y")])
@pytest.mark.parametrize("pixels", [-3, -1, 2, 3])
def test_a_shift_by_whole_pixels_is_numpys_with_the_border_repeated(
    axis: int, column: str, pixels: int
) -> None:
    images = batch()
    draws = drawn(**{column: (pixels / (12 * 0.25) + 1) / 2})
    width = [(0, 0)] * 4
    width[axis] = (0, pixels) if pixels > 0 else (-pixels, 0)
    padded = np.pad(images.numpy(), width, mode="edge")
    start = max(pixels, 0)
    expected = np.take(padded, range(start, start + 12), axis=axis)
    close(augment(images, draws, ALL), torch.tensor(expected))


@pytest.mark.parametrize(("draw", "turns"), [(0.0, -1), (1.0, 1)])
def test_a_right_angle_is_numpys(draw: float, turns: int) -> None:
    expected = np.rot90(batch().numpy(), turns, axes=(2, 3)).copy()
    close(augment(batch(), drawn(rotate=draw), ALL), torch.tensor(expected))


def test_zoom_scales_by_one_plus_or_minus_the_share() -> None:
    """At twice the size, a picture that is linear in x is half as steep about its middle."""
    x = (torch.arange(12.0) + 0.5 - 6).expand(1, 3, 12, 12)
    close(augment(x, drawn(1, zoom=1.0), Augment(zoom=0.5)), x / 1.5, 1e-4)
    inner = augment(x, drawn(1, zoom=0.0), Augment(zoom=0.5))[..., 4:8]
    close(inner, x[..., 4:8] / 0.5, 1e-4)


@given(draws=st.lists(st.floats(0, 0.999), min_size=NUM_DRAWS, max_size=NUM_DRAWS))
def test_an_image_is_augmented_as_if_it_were_alone(draws: list[float]) -> None:
    images = batch(3)
    others = torch.rand(3, NUM_DRAWS, generator=torch.Generator().manual_seed(2))
    others[1] = torch.tensor(draws)
    together = augment(images, others, ALL)[1]
    alone = augment(images[1:2], others[1:2], ALL)[0]
    close(together, alone, 1e-6)


@given(draws=st.lists(st.floats(0, 0.999), min_size=NUM_DRAWS, max_size=NUM_DRAWS))
def test_augmented_values_stay_in_range(draws: list[float]) -> None:
    got = augment(batch(1), torch.tensor([draws]), ALL)
    assert float(got.min()) >= -1e-6
    assert float(got.max()) <= 1 + 1e-6


def test_prepare_normalises() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    got = prepare(pixels, mean=0.5, std=0.25, image_size=None, channels_last=False)
    close(got.flatten(), torch.tensor([-2.0, -1.2, 2.0]), 1e-6)


def test_prepare_resizes_and_orders() -> None:
    pixels = (batch() * 255).to(torch.uint8)
    got = prepare(pixels, mean=0.5, std=0.25, image_size=6, channels_last=True)
    small = F.interpolate((pixels / 255 - 0.5) / 0.25, size=(6, 6), mode="bilinear", antialias=True)
    close(got, small)
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_prepare_leaves_the_pixels_alone() -> None:
    pixels = (batch() * 255).to(torch.uint8)
    before = pixels.clone()
    prepare(pixels, mean=0.5, std=0.25, image_size=None, channels_last=False)
    assert torch.equal(pixels, before)


def test_numbers_of_channels_serve_autograd_whoever_came_first() -> None:
    per_channel.cache_clear()
    with torch.inference_mode():
        first = per_channel((0.5, 0.25), torch.device("cpu"))
    image = torch.ones(2, 3, 3, requires_grad=True)
    (image / per_channel((0.5, 0.25), torch.device("cpu"))).sum().backward()
    assert first.shape == (2, 1, 1)
    assert image.grad is not None and image.grad[:, 0, 0].tolist() == [2, 4]


def test_rotation_in_degrees() -> None:
    """A point off the middle goes to where a rotation of 30 degrees puts it."""
    spot = torch.zeros(1, 1, 65, 65)
    spot[0, 0, 32, 52] = 1.0
    blurred = F.avg_pool2d(F.avg_pool2d(spot, 3, 1, 1), 3, 1, 1)
    turned = augment(blurred, drawn(1, rotate=1.0), Augment(rotate_deg=30))[0, 0]
    rows, columns = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
    at = [float((turned * grid).sum() / turned.sum()) - 32 for grid in (columns, rows)]
    assert at == pytest.approx([20 * math.cos(math.pi / 6), -20 * math.sin(math.pi / 6)], abs=0.05)
