"""A store on S3 whose server fails, for a while and for good: nothing lost or half visible."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyarrow import fs

from tests.faults.s3_server import (
    CREDENTIALS,
    CUT,
    DROP,
    LOST,
    S3,
    Faults,
    Proxy,
    s3_server,
)
from tests.thaw.helpers import Thaw
from tests.training.helpers import (
    TinyTask,
    facts,
    keys,
    outcome,
    run,
    same,
    schedule,
    stage,
    state,
    trainer,
)
from training.files import Files
from training.store import Store
from training.trouble import StoreLost
from training.walk import Visit, walk

TINY = TinyTask()
PLAN = schedule(stage(epochs=8))
KEYS = keys(PLAN, TINY)


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch, s3_server() as s3:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield s3


@pytest.fixture
def s3(server: S3) -> S3:
    """The server, which passes everything on until a test says otherwise."""
    server.proxy.faults = Faults()
    return server


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """A folder of the bucket for this test alone."""
    name: str = request.node.name
    return re.sub(r"\W+", "-", name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Visit]]:
    """The segments of `PLAN` on a disk that never fails."""
    store = Store(str(tmp_path_factory.mktemp("undisturbed")))
    return store, run(PLAN, store, TINY)


class Watcher:
    """Reads, past the faults, all that can be seen of a store, again and again."""

    def __init__(self, url: str) -> None:
        self.damaged: list[str] = []
        self.lacking: list[str] = []
        self.looks = 0
        self._url, self._over = url, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        store = Store(self._url)
        while not self._over.wait(0.2):
            for entry in store.entries():
                self.damaged += store.damage(entry)
                if entry.record_bytes and not store.has_state(entry.key):
                    self.lacking.append(entry.key)
            self.looks += 1


def assert_equal(url: str, visits: list[Visit], undisturbed: tuple[Store, list[Visit]]) -> None:
    """What was visited and what is in the store equals what came of a disk that never failed."""
    store, expected = undisturbed
    assert [outcome(v.record) for v in visits] == [outcome(v.record) for v in expected]
    found = Store(url)
    assert {file.path.rsplit("/", 1)[1] for file in found.files.listing()} == {
        "record.json",
        "state",
    }
    assert {entry.key for entry in found.entries() if entry.state_bytes} == set(KEYS)
    for key in KEYS:
        same({key: state(store, key)}, {key: state(found, key)})


@pytest.mark.parametrize("seed", [0, 1])
def test_a_walk_through_faults_loses_nothing(
    seed: int, s3: S3, folder: str, undisturbed: tuple[Store, list[Visit]]
) -> None:
    s3.proxy.faults = Faults(Random(seed), share=0.5)
    with Watcher(s3.url(folder)) as watcher:
        visits = run(PLAN, Store(s3.proxy.url(folder)), TINY)
    assert sum(s3.proxy.faults.injected.values()) >= 10, s3.proxy.faults.injected
    assert watcher.looks >= 3
    assert (watcher.damaged, watcher.lacking) == ([], [])
    assert not any(visit.reused for visit in visits), "each segment was trained once"
    assert_equal(s3.url(folder), visits, undisturbed)


def test_an_outage_is_waited_for(
    s3: S3, folder: str, undisturbed: tuple[Store, list[Visit]]
) -> None:
    """Longer than pyarrow itself tries, some 8 s; the walk goes on where it was."""
    store = Store(s3.proxy.url(folder))
    visits, outage = [], threading.Timer(10.0, lambda: setattr(s3.proxy.faults, "share", 0.0))
    for visit in one_by_one(store):
        visits.append(visit)
        if len(visits) == 3:
            s3.proxy.faults = Faults(share=1.0, kinds=(DROP, "slow_down", "gateway"))
            outage.start()
    outage.join()
    assert_equal(s3.url(folder), visits, undisturbed)


def one_by_one(store: Store) -> Iterator[Visit]:
    """Walk `PLAN`, one segment at a time."""
    yield from walk(PLAN, facts(TINY), store, trainer(TINY, store).train)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("denied", "ACCESS_DENIED"),
        ("bad_key", "INVALID_ACCESS_KEY_ID"),
        ("slow_down", "tried again for 0.1 s"),
    ],
)
def test_what_fails_for_good_ends_it_and_it_goes_on_later(
    kind: str, said: str, s3: S3, folder: str, undisturbed: tuple[Store, list[Visit]]
) -> None:
    store = Store(s3.proxy.url(folder), patience_s=0.1)
    visits = one_by_one(store)
    before = [next(visits), next(visits)]
    s3.proxy.faults = Faults(share=1.0, kinds=(kind,))
    with pytest.raises(StoreLost) as told:
        next(visits)
    message = str(told.value)
    assert message.startswith(f"store '{s3.proxy.url(folder)}': "), message
    assert said in message and "\n" not in message, message
    assert len(Store(s3.url(folder)).entries()) == 2, "what was there is there"
    s3.proxy.faults = Faults()
    again = run(PLAN, Store(s3.proxy.url(folder)), TINY)
    assert [visit.reused for visit in again] == [True] * len(before) + [False] * 6
    assert_equal(s3.url(folder), again, undisturbed)


def test_a_bucket_that_is_not_there_is_told_at_once(s3: S3) -> None:
    files = Store(s3.proxy.url("x", bucket="nowhere")).files
    with pytest.raises(StoreLost, match=r"store 's3://nowhere/x.*NO_SUCH_BUCKET"):
        files.check()
    with pytest.raises(StoreLost, match="NO_SUCH_BUCKET"):
        files.write("a", b"x")
    Store(s3.proxy.url("new")).files.check()


BIG = 11_000_000
"""Two parts of an upload."""


def is_completing(method: str, path: str) -> bool:
    return method == "POST" and "uploadId=" in path


@pytest.mark.parametrize("what", ["the second part", "completing it"])
def test_an_upload_that_breaks_off_leaves_what_was_there(what: str, s3: S3, folder: str) -> None:
    files = Files(s3.proxy.url(folder), patience_s=0.1)
    files.write("old", b"before")
    hit = is_completing if what == "completing it" else lambda _, path: "partNumber=2" in path
    s3.proxy.faults = Faults(share=1.0, kinds=("denied",), only=hit)
    for name in ("old", "new"):
        with pytest.raises(StoreLost, match="ACCESS_DENIED"):
            files.write(name, bytes(BIG))
    seen = Files(s3.url(folder))
    assert [(file.path, file.num_bytes) for file in seen.listing()] == [("old", 6)]
    s3.proxy.faults = Faults()
    files.write("old", b"z" * BIG)
    assert seen.read("old") == b"z" * BIG


@pytest.mark.parametrize("fault", [LOST, CUT])
def test_a_file_is_whole_where_only_the_answer_was_lost(fault: str, s3: S3, folder: str) -> None:
    """The server has completed the upload, and says at the next try that it knows of none."""
    hit = [1]
    s3.proxy.faults = Faults(
        share=1.0,
        kinds=(fault,),
        only=lambda method, path: is_completing(method, path) and bool(hit) and bool(hit.pop()),
    )
    data = os.urandom(BIG)
    Files(s3.proxy.url(folder)).write("big", data)
    assert s3.proxy.faults.injected == {fault: 1}
    assert Files(s3.url(folder)).read("big") == data


class Interrupting:
    """A file system at which Ctrl-C is pressed when a stream is open and nothing is written."""

    def __init__(self, behind: fs.FileSystem) -> None:
        self._behind = behind

    def open_output_stream(self, path: str) -> Any:
        stream = self._behind.open_output_stream(path)
        os.kill(os.getpid(), signal.SIGINT)
        return stream


@pytest.fixture
def heard() -> Iterator[None]:
    """Let SIGINT be Ctrl-C: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_does_not_cut_a_file_off(s3: S3, folder: str) -> None:
    files = Files(s3.url(folder))
    files._fs = Interrupting(files._fs)
    data = os.urandom(1000)
    with pytest.raises(KeyboardInterrupt):
        files.write("file", data)
    assert Files(s3.url(folder)).read("file") == data


def test_pyarrow_completes_what_an_exception_breaks_off(s3: S3, folder: str) -> None:
    """Why `Files` does not write within a `with`."""
    files = Files(s3.url(folder))
    with (
        pytest.raises(RuntimeError),
        fs.FileSystem.from_uri(s3.url(folder))[0].open_output_stream(files.full("half")) as stream,
    ):
        stream.write(b"half of")
        raise RuntimeError
    assert files.read("half") == b"half of"


def test_what_nobody_answers_for_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    closed = Proxy(1)
    url = closed.url("x")
    closed.close()
    with pytest.raises(StoreLost, match=r"NETWORK_CONNECTION.*tried again for 0 s"):
        Files(url, patience_s=0.0).check()


def test_the_command_line_tells_trouble_in_one_line(
    s3: S3, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thaw, url = Thaw(monkeypatch, capsys), s3.proxy.url(folder)
    run(schedule(stage(epochs=2)), Store(url), TINY)
    code, printed, _ = thaw("store", "verify", url)
    assert (code, printed) == (0, "4 files, 0 damaged, 0 left by killed processes\n")
    s3.proxy.faults = Faults(share=1.0, kinds=("denied",))
    refusal = thaw.refused("store", "verify", url)
    assert refusal.startswith(f"store '{url}': ") and "ACCESS_DENIED" in refusal
    assert refusal.endswith("look at the credentials, and at what they may do there")
