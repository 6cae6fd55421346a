"""Faces: drawn ones are the same for the same numbers; folders of real ones are checked."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.drawn_faces import draw_faces, split_identities
from training.dsr import FACE
from training.errors import UserError
from training.faces import drawn_faces, load_faces


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("THAW_CACHE", str(path))
    return path


def drawn(identities: range, num_images: int = 2, seed: int = 0) -> dict[int, np.ndarray]:
    return dict(draw_faces(identities, num_images, seed))


def test_the_same_numbers_draw_the_same_faces() -> None:
    one, other = drawn(range(3)), drawn(range(3))
    assert all(np.array_equal(one[number], other[number]) for number in range(3))
    assert one[0].shape == (2, FACE, FACE, 3) and one[0].dtype == np.uint8


def test_a_face_does_not_hang_on_how_many_others_are_drawn() -> None:
    one, other = drawn(range(3), 3), drawn(range(2, 4), 2)
    assert np.array_equal(one[2][:2], other[2])


def test_another_seed_identity_or_image_is_another_face() -> None:
    faces = drawn(range(2))
    assert not np.array_equal(faces[0], drawn(range(1), seed=1)[0])
    assert not np.array_equal(faces[0], faces[1])
    assert not np.array_equal(faces[0][0], faces[0][1])


def test_an_identity_is_nearer_to_itself_than_to_others() -> None:
    """Colours in the middle of the face, where light and background matter least."""
    faces = drawn(range(12), 4, seed=5)
    middle = {n: f[:, 40:80, 40:72].reshape(4, -1, 3).mean(1) for n, f in faces.items()}
    colours = np.stack([m / m.sum(1, keepdims=True) for m in middle.values()])  # (12, 4, 3)
    within = colours.std(1).mean()
    between = colours.mean(1).std(0).mean()
    assert between > 1.5 * within, f"between {between:.4f}, within {within:.4f}"


@pytest.mark.parametrize(("num", "tested"), [(4, 2), (8, 3), (60, 20), (300, 100)])
def test_nobody_is_in_both_parts(num: int, tested: int) -> None:
    train, test = split_identities(num)
    assert not set(train) & set(test)
    assert set(train) | set(test) == set(range(num))
    assert len(test) == tested


def test_drawn_data_has_labels_in_the_order_of_identities() -> None:
    data = drawn_faces(5, 2, 0)
    assert data.identities == ("id00000", "id00001", "id00002")
    assert data.held_out == ("id00003", "id00004")
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert data.train.pixels.shape == (6, 3, FACE, FACE)


def write(folder: Path, *names: str, num: int = 2, size: tuple[int, int] = (FACE, FACE)) -> None:
    for value, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(num):
            colour = (20 * value, 10 * number, 0)
            Image.new("RGB", size, colour).save(folder / name / f"{number}.png")


def load(folder: Path, **options: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    data = load_faces(str(folder), held_out=0.4, **options)
    return data.identities, data.held_out


def test_the_layout_of_vggface2(tmp_path: Path) -> None:
    write(tmp_path / "train", "a", "b")
    write(tmp_path / "test", "c", "d", num=3)
    data = load_faces(str(tmp_path), held_out=0.4)
    assert (data.identities, data.held_out) == (("a", "b"), ("c", "d"))
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.train.pixels[3, :, 5, 7].tolist() == [20, 10, 0]


def test_the_layout_of_lfw_holds_a_share_out(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c", "d", "e")
    train, test = load(tmp_path)
    assert len(test) == 2 and sorted((*train, *test)) == ["a", "b", "c", "d", "e"]
    assert load(tmp_path) == (train, test)
    write(tmp_path, "f")
    assert len(set(load(tmp_path)[1]) & set(test)) >= 1, "one more identity changed them all"


def test_images_are_decoded_once(tmp_path: Path, cache: Path) -> None:
    write(tmp_path, "a", "b", "c", "d")
    calls: list[tuple[int, int]] = []
    for _ in range(2):
        load_faces(
            str(tmp_path), held_out=0.4, progress=lambda done, all_: calls.append((done, all_))
        )
    assert calls == [(number, 8) for number in range(1, 9)]
    assert len(list(cache.glob("*.npy"))) == 1


def test_an_identity_with_one_image_is_refused_or_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c", "d")
    write(tmp_path, "lonely", num=1)
    with pytest.raises(UserError, match=r"lonely: one image \(1 such.*skip_single=true"):
        load(tmp_path)
    train, test = load(tmp_path, skip_single=True)
    assert sorted((*train, *test)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("size", "message"),
    [((100, 112), "is 100 x 112 px, not square; faces"), ((96, 96), "is 96 x 96 px; faces")],
)
def test_an_image_of_another_size_is_named(
    size: tuple[int, int], message: str, tmp_path: Path
) -> None:
    write(tmp_path, "a", "b", "c", "d")
    Image.new("RGB", size).save(tmp_path / "c" / "1.png")
    with pytest.raises(UserError, match=rf"image .*c/1\.png: {message} must be aligned"):
        load(tmp_path)


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c", "d")
    (tmp_path / "b" / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"image .*b/0\.png: cannot be read"):
        load(tmp_path)


def test_who_is_in_train_and_test_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train", "a", "b")
    write(tmp_path / "test", "b", "c")
    with pytest.raises(UserError, match="b is in train and in test"):
        load(tmp_path)


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b", "c")])
def test_too_few_identities(names: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path, *names)
    with pytest.raises(UserError, match=r"at least [24] are needed"):
        load(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: no such folder"):
        load(tmp_path / "none")


def test_grey_images_are_read(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c", "d")
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").mkdir()
    for number in range(2):
        Image.new("L", (FACE, FACE), 77).save(tmp_path / "a" / f"{number}.png")
    data = load_faces(str(tmp_path), held_out=0.4)
    both = torch.cat([data.train.pixels, data.test.pixels])
    assert (both == 77).all(dim=(1, 2, 3)).sum() == 2
