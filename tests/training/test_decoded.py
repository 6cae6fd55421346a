"""The cache of decoded images: whole or not at all, whoever builds it and however that ends."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import pulse
from training.classification import Classification, ClassifierConfig
from training.decoded import decoded

NUM, SIZE = 240, 16
BUILDER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
import sys, time
from pathlib import Path
from training.decoded import decoded
calls = 0
def progress(done, num):
    global calls
    calls += 1
    if done == 1:
        print("decoding", flush=True)
    time.sleep({pause_s})
try:
    files = sorted(Path({folder!r}).rglob("*.jpg"))
    pixels, digest = decoded(files, {size}, progress)
except KeyboardInterrupt:
    sys.exit(130)
print(calls, digest)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with NUM images, and an empty cache."""
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for index in range(NUM):
        path = tmp_path / "data" / ("val" if index % 6 == 0 else "train") / f"class{index % 2}"
        path.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index}.jpg")
    (tmp_path / "data" / "val" / "class1").mkdir(exist_ok=True)
    pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "data" / "val" / "class1" / "x.jpg")
    return tmp_path / "data"


def cache(folder: Path) -> list[str]:
    return sorted(os.listdir(folder.parent / "cache"))


def start(folder: Path, pause_s: float) -> subprocess.Popen[str]:
    """Start a process that builds the cache, slower by a pause after each image."""
    code = BUILDER.format(folder=str(folder), size=SIZE, pause_s=pause_s)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def told(builder: subprocess.Popen[str]) -> str:
    assert builder.stdout is not None
    return builder.stdout.readline().strip()


def test_two_builders_make_one_cache_and_decode_once(folder: Path) -> None:
    first = start(folder, 0.01)
    assert told(first) == "decoding"
    second = start(folder, 0.01)
    lines = [builder.communicate(timeout=60)[0].split() for builder in (first, second)]
    assert [builder.returncode for builder in (first, second)] == [0, 0]
    calls, digests = zip(*lines, strict=True)
    assert sorted(map(int, calls)) == [0, NUM + 1]
    assert len(set(digests)) == 1
    assert [Path(name).suffix for name in cache(folder)] == [".npy"]


def test_an_interrupted_builder_leaves_nothing_and_ends_at_once(folder: Path) -> None:
    builder = start(folder, 0.05)
    assert told(builder) == "decoding"
    began_s = time.perf_counter()
    builder.send_signal(signal.SIGINT)
    builder.communicate(timeout=30)
    assert builder.returncode == 130
    took_s = time.perf_counter() - began_s
    assert took_s < 0.25 * NUM * 0.05, f"went on for {took_s:.1f} s"
    assert cache(folder) == []


def test_what_a_killed_builder_left_is_cleared_by_the_next(folder: Path) -> None:
    builder = start(folder, 0.05)
    assert told(builder) == "decoding"
    builder.kill()
    builder.communicate(timeout=30)
    assert any(name.endswith(".part") for name in cache(folder)), cache(folder)
    decoded(sorted(folder.rglob("*.jpg")), SIZE)
    assert [Path(name).suffix for name in cache(folder)] == [".npy"]


def test_who_waits_for_a_builder_that_is_killed_builds_itself(folder: Path) -> None:
    first = start(folder, 0.05)
    assert told(first) == "decoding"
    second = start(folder, 0.0)
    time.sleep(1.0)
    first.kill()
    first.communicate(timeout=30)
    lines = second.communicate(timeout=60)[0].split()
    assert lines[:2] == ["decoding", str(NUM + 1)]
    assert [Path(name).suffix for name in cache(folder)] == [".npy"]


def test_the_digest_is_that_of_the_pixels(folder: Path) -> None:
    files = sorted((folder / "train" / "class0").iterdir())
    for _ in ("built", "found"):
        pixels, digest = decoded(files, SIZE)
        assert pixels.shape == (len(files), SIZE, SIZE, 3)
        assert digest == hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


@pytest.mark.parametrize("change", ["pixels", "label", "class"])
def test_a_data_set_that_differs_has_another_fingerprint(change: str, folder: Path) -> None:
    def fingerprint() -> str:
        return Classification(ClassifierConfig(data=str(folder), image_size=SIZE)).fingerprint()

    before = fingerprint()
    assert before == fingerprint()
    some = sorted((folder / "train" / "class0").iterdir())[-1]
    if change == "pixels":
        Image.new("RGB", (20, 24), (9, 9, 9)).save(some)
    elif change == "label":
        some.rename(folder / "train" / "class1" / "0.jpg")
    else:
        for split in ("train", "val"):
            (folder / split / "class1").rename(folder / split / "class2")
    assert fingerprint() != before


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has not got on for long."""
    monkeypatch.setattr(pulse, "_last_s", time.monotonic() - 1000.0)


@pytest.mark.usefixtures("silent")
def test_whoever_decodes_has_a_pulse(folder: Path) -> None:
    decoded(sorted(folder.rglob("*.jpg"))[:2], SIZE)
    assert pulse.silence_s() < 500


@pytest.mark.usefixtures("silent")
def test_whoever_waits_for_a_builder_has_a_pulse(folder: Path) -> None:
    builder = start(folder, 0.005)
    assert told(builder) == "decoding"
    decoded(sorted(folder.rglob("*.jpg")), SIZE)
    builder.communicate(timeout=60)
    assert pulse.silence_s() < 500
