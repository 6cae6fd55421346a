"""Results at a URL: a whole copy within seconds, of the database too, and back again."""

import errno
import http.client
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.processes import wait_until
from tests.faults.s3_server import BUCKET, S3, Faults
from tests.faults.test_s3 import folder, s3, server  # noqa: F401
from tests.thaw.helpers import Thaw
from thaw import mirror
from thaw.mirror import Mirror, fetched, folder_of, local_folder, results_folder
from training.errors import UserError
from training.files import Files
from training.trouble import PATIENCE, StoreLost


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mirror, "SYNC_S", 0.1)
    monkeypatch.setenv(PATIENCE, "0.1")


@pytest.fixture
def url(s3: S3, folder: str) -> str:  # noqa: F811
    """A place for results, by way of the proxy."""
    return s3.proxy.url(folder)


def there(url: str) -> dict[str, bytes]:
    files = Files(url)
    return {file.path: files.read(file.path) or b"" for file in files.listing()}


def test_what_is_written_is_there_at_the_end_and_what_goes_is_gone(url: str) -> None:
    with results_folder(url) as out:
        (out / "0000").mkdir()
        (out / "0000" / "result.json").write_text("{}\n")
        (out / "0001").mkdir()
        (out / "0001" / "gone").write_text("x")
        (out / ".trials.csv.new").write_text("half")
        (out / "trials.csv").write_text("trial\n0000\n")
        wait_for(lambda: "0001/gone" in there(url))
        (out / "0001" / "gone").unlink()
        (out / "trials.csv").write_text("trial\n0000\n0001\n")
    assert there(url) == {"0000/result.json": b"{}\n", "trials.csv": b"trial\n0000\n0001\n"}


def wait_for(condition: Callable[[], bool]) -> None:
    wait_until(condition, 30.0, "a copy at the URL")


def test_a_database_in_mid_transaction_is_copied_whole(url: str, tmp_path: Path) -> None:
    with results_folder(url) as out, closing(sqlite3.connect(out / "optuna.db")) as writer:
        writer.execute("create table t (x integer)")
        writer.executemany("insert into t values (?)", [(n,) for n in range(1000)])
        writer.commit()
        writer.execute("insert into t values (1000)")  # not committed
        wait_for(lambda: "optuna.db" in there(url))
        assert set(there(url)) == {"optuna.db"}, "no journal"
        copy = tmp_path / "copy.db"
        copy.write_bytes(there(url)["optuna.db"])
        with closing(sqlite3.connect(copy)) as read:
            assert read.execute("pragma integrity_check").fetchone() == ("ok",)
            assert read.execute("select count(*) from t").fetchone() == (1000,)
        writer.rollback()


def test_another_machine_goes_on_with_what_is_there(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with results_folder(url) as out:
        (out / "a").write_text("one")
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "elsewhere"))
    with results_folder(url) as out:
        assert (out / "a").read_text() == "one"
        (out / "b").write_text("two")
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "third"))
    assert {path.name: path.read_text() for path in fetched(url).iterdir()} == {
        "a": "one",
        "b": "two",
    }


def test_an_outage_delays_the_copy_and_loses_nothing(
    url: str,
    s3: S3,  # noqa: F811
) -> None:
    with results_folder(url) as out:
        (out / "a").write_text("one")
        wait_for(lambda: "a" in there(url))
        s3.proxy.faults = Faults(share=1.0, kinds=("denied",))
        (out / "a").write_text("two")
        (out / "b").write_text("three")
        wait_for(lambda: s3.proxy.faults.injected["denied"] > 1)
        s3.proxy.faults = Faults()
    assert there(url) == {"a": b"two", "b": b"three"}


def test_where_the_url_is_lost_the_folder_stays_and_is_gone_on_from(
    url: str,
    s3: S3,  # noqa: F811
) -> None:
    with pytest.raises(StoreLost, match="the results are in ") as told, results_folder(url) as out:
        (out / "a").write_text("one")
        s3.proxy.faults = Faults(share=1.0, kinds=("denied",))
    assert str(told.value).endswith(str(local_folder(url)))
    s3.proxy.faults = Faults()
    with results_folder(url) as out:
        assert (out / "a").read_text() == "one"
    assert there(url) == {"a": b"one"}
    Files(url).write("a", b"newer")
    assert (fetched(url) / "a").read_text() == "newer", "the URL is what counts again"


def test_a_driver_that_dies_in_an_outage_goes_on_from_its_folder(
    url: str,
    s3: S3,  # noqa: F811
) -> None:
    dead = Mirror(url, local_folder(url))
    dead.fetch()
    (dead.folder / "a").write_text("one")
    dead.sync()
    (dead.folder / "a").write_text("two, hours later")
    s3.proxy.faults = Faults(share=1.0, kinds=("denied",))
    with pytest.raises(StoreLost):
        dead.sync()
    s3.proxy.faults = Faults()
    assert (fetched(url) / "a").read_text() == "two, hours later"


def test_after_a_copy_that_succeeded_the_url_is_what_counts(url: str) -> None:
    dead = Mirror(url, local_folder(url))
    dead.fetch()
    (dead.folder / "a").write_text("one")
    dead.sync()
    Files(url).write("a", b"another machine's")
    assert (fetched(url) / "a").read_text() == "another machine's"


def test_a_place_that_is_not_empty_is_refused_without_reading_it(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Files(url).write("precious", b"1")
    thaw = Thaw(monkeypatch, capsys)
    line = thaw.refused("search", "unfreeze_timing", "--address", "127.0.0.1:1", "--out", url)
    assert line == f"--out {url}: is not empty; name a new folder"
    assert not list(local_folder(url).parent.rglob("precious"))


def test_a_name_that_leads_out_is_refused(
    url: str,
    s3: S3,  # noqa: F811
    folder: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    to = http.client.HTTPConnection("127.0.0.1", s3.port, timeout=30)
    to.request("PUT", f"/{BUCKET}/{folder}/a/%2E%2E/%2E%2E/harm", b"x")
    assert to.getresponse().status == 200
    to.close()
    with pytest.raises(UserError, match=r"'a/\.\./\.\./harm' leads out of their folder"):
        Mirror(url, tmp_path / "in" / "results").fetch()
    assert not (tmp_path / "in" / "harm").exists()


def test_fetch_copies_results_into_a_new_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thaw = Thaw(monkeypatch, capsys)
    with results_folder(url) as out:
        (out / "search.json").write_text("{}")
        (out / "0000").mkdir()
        (out / "0000" / "result.json").write_text("{}")
    to = tmp_path / "results"
    code, printed, _ = thaw("fetch", url, "--to", to)
    assert (code, printed) == (0, f"2 files in {to}\n")
    assert (to / "0000" / "result.json").read_text() == "{}"
    assert "is not empty" in thaw.refused("fetch", url, "--to", to)
    assert "is no URL" in thaw.refused("fetch", "results/x", "--to", tmp_path / "new")


@pytest.mark.parametrize("name", [".", "link"])
def test_fetch_fills_an_empty_folder_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there, to = tmp_path / "url", tmp_path / "to"
    for new in (there, to):
        new.mkdir()
    (there / "search.json").write_text("{}")
    (tmp_path / "link").symlink_to(to)
    before = to.stat().st_ino
    monkeypatch.chdir(to if name == "." else tmp_path)
    thaw = Thaw(monkeypatch, capsys)
    code, printed, err = thaw("fetch", f"file://{there}", "--to", name)
    assert (code, printed) == (0, f"1 files in {name}\n"), err
    assert (to / "search.json").read_text() == "{}" and to.stat().st_ino == before


def test_a_folder_of_this_machine_is_itself(tmp_path: Path) -> None:
    with results_folder(str(tmp_path / "out")) as out:
        assert out == tmp_path / "out"
        assert not out.exists(), "it is made by who writes to it"


def test_a_list_of_runs_takes_no_url(url: str) -> None:
    with pytest.raises(UserError, match="only `thaw search` has results at a URL"):
        folder_of(url)


def failing(times: int) -> Callable[[Path], bytes]:
    """Return a reader of files to copy whose first `times` reads find the disk full."""
    left = [OSError(errno.ENOSPC, "No space left on device")] * times

    def content(path: Path) -> bytes:
        if left:
            raise left.pop()
        return path.read_bytes()

    return content


def test_copying_goes_on_after_a_failure_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path / 'url'}"
    monkeypatch.setattr(mirror, "_content", failing(1))
    with results_folder(url) as out:
        (out / "a").write_text("one")
        wait_for(lambda: there(url) == {"a": b"one"})


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), sqlite3.Error("torn")])
def test_a_last_copy_that_fails_here_says_where_the_results_are(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def content(path: Path) -> bytes:
        raise error

    url = f"file://{tmp_path / 'url'}"
    monkeypatch.setattr(mirror, "_content", content)
    with pytest.raises(StoreLost) as told, results_folder(url) as out:
        (out / "a").write_text("one")
    assert str(told.value) == f"{error}; the results are in {local_folder(url)}"
    with pytest.raises(ZeroDivisionError), results_folder(url):
        raise ZeroDivisionError("this went wrong first")
