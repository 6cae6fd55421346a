"""Images that stay on the host: the same bytes, the same states, and no wait in the step loop."""

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.training.test_no_sync import READS
from training import residence
from training.camouflage import Camouflage, CamouflageConfig
from training.classification import Classification, ClassifierConfig
from training.device_share import DEVICE_CACHE, device_share
from training.errors import UserError
from training.live import Live
from training.residence import Feed, batches, fits, settle
from training.schedule import Schedule, Stage
from training.segment import evaluate_segment, read, train_segment
from training.settings import Place, Settings
from training.streets import Streets, StreetsConfig
from training.task import Task, facts_of

SGD: dict[str, Any] = {"optimizer": {"kind": "sgd"}}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixed in parts": {"augment": {"mixup": 0.4, "shift": 0.1}, "accumulate": 2},
    "balanced": {"sampler": "balanced"},
    "fraction": {"data_fraction": 0.3, "image_size": 24},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour images of two classes, 20 to train on."""
    root, random = tmp_path_factory.mktemp("photos"), torch.Generator().manual_seed(3)
    for number in range(24):
        split, name = "train" if number < 20 else "val", f"class{number % 2}"
        (root / split / name).mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 256, (16, 16, 3), generator=random, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(root / split / name / f"{number}.png")
    return root


def classifier(data: str) -> Classification:
    return Classification(ClassifierConfig(data=data, image_size=16))


def settings_of(task: Task, **fields: Any) -> Settings:
    data = next(reversed(task.num_train()))
    first = Stage.parse(
        {"name": "s", "epochs": 1, "lr": 1e-3, "batch_size": 8, "data": data} | fields
    )
    facts = facts_of(task, seed=0, place=Place())
    settings = Schedule(stages=(first,)).next([], facts)
    assert settings is not None
    return settings


def trained(task: Task, settings: Settings) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the state after a segment, and its totals of training and evaluation."""
    task.to("cpu")
    live = Live(task, 0, "cpu")
    train, _ = read(train_segment(live, task, settings, 0), settings)
    val, _ = read(evaluate_segment(live, task, settings), settings)
    return live.capture()["models"], train | {f"val_{name}": value for name, value in val.items()}


def assert_same(task: Task, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare training from the device's memory with training from the host's, bit for bit."""
    states, totals = [], []
    for share in ("0.5", "0"):
        monkeypatch.setenv(DEVICE_CACHE, share)
        state, sums = trained(task, settings)
        states.append({name: value.clone() for name, value in state.items()})
        totals.append(sums)
    assert totals[0] == totals[1]
    differing = [
        name for name, value in states[0].items() if not torch.equal(value, states[1][name])
    ]
    assert differing == []


@pytest.mark.parametrize("case", CASES)
def test_a_classifier_fed_from_the_host_is_the_same(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = classifier(str(folder))
    assert_same(task, settings_of(task, **CASES[case]), monkeypatch)


def test_masks_fed_from_the_host_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Camouflage(CamouflageConfig.parse({"image_size": 32, "width": 16, "num_experts": 2}))
    assert_same(task, settings_of(task, data_fraction=0.1, augment={"flip": True}), monkeypatch)


def test_streets_fed_from_the_host_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Streets(StreetsConfig.parse({"encoder": "tu-test_resnet"}))
    assert_same(task, settings_of(task, data_fraction=0.1), monkeypatch)


def test_every_batch_is_there_before_it_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_CACHE, "0")
    found: list[bool] = []
    take = Feed.take

    def noted(feed: Feed, chosen: Tensor) -> Tensor:
        found.append(feed._here is not None)
        return take(feed, chosen)

    monkeypatch.setattr(Feed, "take", noted)
    task = classifier(str(folder))
    settings = settings_of(task, augment={"mixup": 0.4})
    trained(task, settings)
    assert found == [True] * (2 * settings.num_steps + 1), "two of each step, one of the evaluation"


@pytest.mark.parametrize("batch_size", [8, 4])
def test_no_value_is_read_in_the_loop(
    batch_size: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def num_reads(share: str) -> int:
        monkeypatch.setenv(DEVICE_CACHE, share)
        task = classifier(str(folder))
        task.to("cpu")
        settings = settings_of(task, batch_size=batch_size, **SGD)
        live = Live(task, 0, "cpu")
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            train_segment(live, task, settings, seed=0)
        return sum(event.count for event in profiled.key_averages() if event.key in READS)

    assert num_reads("0") == num_reads("0.5")


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_feed_gives_the_bytes_and_the_memory_order_of_the_tensor(channels_last: bool) -> None:
    pixels = torch.randint(0, 256, (50, 5, 4, 3), dtype=torch.uint8)
    pixels = pixels.permute(0, 3, 1, 2) if channels_last else pixels
    feed = Feed(pixels, "cpu")
    order = torch.tensor([9, 3, 3, 49, 0, 7, 7, 1])
    parts = list(order.split(3))
    for batch, part in zip(batches(order, 3, "cpu", feed.turn), parts, strict=True):
        assert torch.equal(batch, part)
        for chosen in (batch, batch.roll(1), batch[:1]):
            found, wanted = feed.take(chosen), pixels[chosen]
            assert torch.equal(found, wanted) and found.stride() == wanted.stride()
    chosen = torch.tensor([30, 2])
    assert torch.equal(feed.take(chosen), pixels[chosen]), "outside of the batches"


def test_a_segment_that_was_cut_off_leaves_nothing_behind() -> None:
    pixels = torch.arange(20, dtype=torch.uint8).reshape(20, 1)
    feed = Feed(pixels, "cpu")
    feed.turn(torch.tensor([1, 2]))  # of a loop that never came to it
    for batch in batches(torch.arange(5, 11), 2, "cpu", feed.turn):
        assert feed.take(batch).flatten().tolist() == batch.tolist()


def test_what_was_coming_is_not_taken_for_what_is_asked_for() -> None:
    pixels = torch.arange(20, dtype=torch.uint8).reshape(20, 1)
    feed = Feed(pixels, "cpu")
    loop = batches(torch.arange(5, 11), 2, "cpu", feed.turn)
    next(loop)
    loop.close()  # type: ignore[attr-defined]
    assert feed.take(torch.tensor([1, 15])).flatten().tolist() == [1, 15]


def test_a_batch_that_could_not_be_sent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(torch.arange(20, dtype=torch.uint8).reshape(20, 1), "cpu")

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Feed, "_send", full)
        with pytest.raises(torch.OutOfMemoryError):
            list(batches(torch.arange(6), 2, "cpu", feed.turn))
    for batch in batches(torch.arange(6), 2, "cpu", feed.turn):
        assert feed.take(batch).flatten().tolist() == batch.tolist()


def test_what_fits_a_share_of_free_memory_is_held_on_the_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 4000))
    monkeypatch.delenv(DEVICE_CACHE, raising=False)
    assert [fits(num, "cuda") for num in (500, 501)] == [True, False]
    monkeypatch.setenv(DEVICE_CACHE, "0.25")
    assert [fits(num, "cuda") for num in (250, 251)] == [True, False]
    assert fits(10**15, "cpu")
    monkeypatch.setenv(DEVICE_CACHE, "0")
    assert not fits(1, "cuda") and not fits(1, "cpu")


def test_on_the_cpu_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEVICE_CACHE, raising=False)
    pixels = torch.zeros(4, 2, dtype=torch.uint8)
    assert settle(pixels, "cpu") == (pixels, None)


def test_what_is_held_already_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu:
        nbytes, is_cuda = 400, True

    train, dead = OnGpu(), OnGpu()
    monkeypatch.setattr(residence, "_held", [weakref.ref(train), weakref.ref(dead)])
    del dead
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (600, 4000))
    monkeypatch.delenv(DEVICE_CACHE, raising=False)
    assert [fits(num, "cuda") for num in (100, 101)] == [True, False], "half of 600 + 400, less 400"


@pytest.mark.parametrize("text", ["half", "-0.1", "1.5", "nan"])
def test_a_share_that_is_none_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_CACHE, text)
    with pytest.raises(UserError, match=f"THAW_DEVICE_CACHE='{text}': must be a share"):
        device_share()
