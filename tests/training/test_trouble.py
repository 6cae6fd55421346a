"""Storage that fails: what is tried again, for how long, and what is said in the end."""

import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from training.errors import UserError
from training.files import Files
from training.trouble import (
    PATIENCE,
    Patience,
    StoreFull,
    StoreLost,
    behind,
    default_s,
    passes,
    told_by,
)

NAME = "store 's3://bucket/x'"


def aws(text: str) -> OSError:
    return OSError(f"When getting information for key 'x' in bucket 'b': AWS Error {text}")


PASSING = {
    "slow down": aws("SLOW_DOWN during PutObject operation: Please reduce your request rate."),
    "503 without a body": aws("UNKNOWN (HTTP status 503) during HeadObject operation: No body."),
    "502": aws("UNKNOWN (HTTP status 502) during ListObjectsV2 operation: Unable to parse"),
    "too many": aws("UNKNOWN (HTTP status 429) during HeadObject operation: No response body."),
    "refused": aws("NETWORK_CONNECTION during PutObject operation: curlCode: 7, Could not connect"),
    "completed before": aws("NO_SUCH_UPLOAD during CompleteMultipartUpload operation: gone"),
    "ended early": OSError("Unexpected end of stream"),
    "EIO": OSError(errno.EIO, "Input/output error"),
    "ESTALE": OSError(errno.ESTALE, "Stale file handle"),
    "ETIMEDOUT": TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
}
LASTING = {
    "denied": aws("ACCESS_DENIED during PutObject operation: Access Denied"),
    "no bucket": aws("NO_SUCH_BUCKET during PutObject operation: The bucket does not exist"),
    "bad key": aws("INVALID_ACCESS_KEY_ID during PutObject operation: no such key"),
    "400": aws("UNKNOWN (HTTP status 400) during HeadObject operation: No response body."),
    "EACCES": PermissionError(errno.EACCES, "Permission denied"),
    "EROFS": OSError(errno.EROFS, "Read-only file system"),
}


@pytest.mark.parametrize("name", [*PASSING, *LASTING])
def test_what_may_pass_is_told_from_what_lasts(name: str) -> None:
    assert passes((PASSING | LASTING)[name]) == (name in PASSING)


def failing(*errors: OSError) -> Callable[[], str]:
    """Fail with each of `errors`, then work."""
    left = list(errors)

    def act() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept, on a clock that only sleeping moves."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(seconds))
    return seconds


def test_waits_double_up_to_half_a_minute_and_differ(slept: list[float]) -> None:
    errors = [PASSING["slow down"]] * 9
    assert Patience(NAME, 600.0, Random(0)).call(failing(*errors)) == "done"
    bounds = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert all(b / 2 <= s <= b for s, b in zip(slept, bounds, strict=True)), slept
    others = list(slept)
    slept.clear()
    Patience(NAME, 600.0, Random(1)).call(failing(*errors))
    assert slept != others


def test_the_limit_ends_it_and_is_told(slept: list[float]) -> None:
    patience = Patience(NAME, 60.0, Random(0))
    with pytest.raises(StoreLost) as told:
        patience.call(failing(*[PASSING["refused"]] * 99))
    assert sum(slept) == pytest.approx(60.0)
    message = str(told.value)
    assert message.startswith(f"{NAME}: When getting information"), message
    assert message.endswith(f"tried again for 60 s ({PATIENCE})") and "\n" not in message


def test_who_has_waited_in_vain_waits_no_second_time(slept: list[float]) -> None:
    patience = Patience(NAME, 60.0, Random(0))
    for expected in (60.0, 60.0):
        with pytest.raises(StoreLost):
            patience.call(failing(*[PASSING["refused"]] * 99))
        assert sum(slept) == pytest.approx(expected)
    patience.call(failing())
    assert patience.call(failing(PASSING["refused"])) == "done", "it is patient again"


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_ends_it_at_once(name: str, slept: list[float]) -> None:
    with pytest.raises(StoreLost) as told:
        Patience(NAME, 60.0, Random(0)).call(failing(LASTING[name]))
    assert slept == []
    refused = name in ("denied", "bad key", "400")
    assert str(told.value).endswith("look at the credentials, and at what they may do there") == (
        refused
    )


def test_a_file_that_is_not_there_is_an_answer(slept: list[float]) -> None:
    with pytest.raises(FileNotFoundError):
        Patience(NAME, 60.0, Random(0)).call(failing(FileNotFoundError(errno.ENOENT, "none")))
    assert slept == []


def test_one_warning_for_each_spell(slept: list[float], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "thaw.store"):
        Patience(NAME, 60.0, Random(0)).call(failing(*[PASSING["EIO"]] * 4))
    assert [record.getMessage() for record in caplog.records] == [
        f"{NAME}: {os.strerror(errno.EIO)}; trying again for 60 s"
    ]


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_a_patience_that_is_no_time_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, text)
    with pytest.raises(UserError, match=f"{PATIENCE}='{text}': must be a number of seconds"):
        default_s()


def test_the_environment_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PATIENCE, raising=False)
    assert default_s() == 600.0
    monkeypatch.setenv(PATIENCE, "2.5")
    assert default_s() == 2.5


def test_trouble_is_found_in_what_ray_and_tune_make_of_it() -> None:
    assert told_by("RuntimeError: StoreLost: store 'x': gone") == "store 'x': gone"
    assert told_by("training.trouble.StoreFull: store 'x': no room") == "store 'x': no room"
    assert told_by("ValueError: NotAStoreLost: x") == ""
    try:
        try:
            raise StoreFull("no room")
        except StoreFull:
            raise RuntimeError("Tune says so") from None
    except RuntimeError as error:
        assert str(behind(error)) == "no room"
        assert behind(ValueError()) is None


def test_a_disk_that_fails_for_a_while_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    """As NFS does when its server starts anew."""
    replace, left = os.replace, [errno.EIO, errno.ESTALE]

    def failing_replace(one: str, other: str) -> None:
        if left:
            raise OSError(left.pop(0), "injected")
        replace(one, other)

    monkeypatch.setattr(os, "replace", failing_replace)
    files = Files(str(tmp_path), patience_s=60.0)
    files.write("a/b", b"whole")
    assert files.read("a/b") == b"whole"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"], "nothing else is left"
    assert len(slept) == 2


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where a folder should be")
    with pytest.raises(StoreLost, match=r"store '.*': Not a directory|File exists"):
        Files(str(tmp_path)).write("a/b", b"x")


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hush@bucket/x",
        "s3://bucket/x?secret_key=hush",
        "abfs://account:hush@box.dfs.core.windows.net/x",
        "s3://bucket/x?Session_Token=hush",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UserError, match="its URL holds a secret") as told:
        Files(url, kind="results")
    assert "hush" not in str(told.value)
