"""`thaw submit` against a job server that says what it is told: what is sent, shown, returned."""

import json
import os
import shlex
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.thaw.helpers import Thaw
from tests.thaw.job_server import JobServer, job_server
from thaw import submit
from thaw.submit import INTERRUPTED, STOP_S, plain

SEARCH = ("unfreeze_timing", "--trials", "4", "--set", "model=test vit")
PLACES = ("--out", "s3://bucket/out", "--store", "s3://bucket/store")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Look often; a home without a token; an empty folder to send."""
    monkeypatch.setattr(submit, "_POLL_S", 0.01)
    monkeypatch.setattr(submit, "_LOG_PAUSE", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def ended(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, **more}


def send(thaw: Thaw, server: JobServer, *options: str) -> tuple[int, str, str]:
    return thaw("submit", *SEARCH, *PLACES, "--address", server.url, *options)


def test_it_prints_the_command_it_stands_for_and_sends_that(thaw: Thaw) -> None:
    with job_server(ended("SUCCEEDED", log="")) as server:
        code, out, _ = send(thaw, server)
        words = shlex.split(out.splitlines()[0])
    assert code == 0
    assert words[:5] == ["ray", "job", "submit", "--address", server.url]
    entry = ["thaw", "search", *SEARCH, *PLACES, "--address", "auto"]
    assert words[words.index("--") + 1 :] == entry
    told = json.loads(words[words.index("--runtime-env-json") + 1])["env_vars"]
    assert told == {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S)}
    assert shlex.split(server.submitted["entrypoint"]) == entry
    assert server.submitted["submission_id"] == words[words.index("--submission-id") + 1]
    sent = server.submitted["runtime_env"]
    assert sent["env_vars"] == told
    assert sent["working_dir"].startswith("gcs://")


def test_the_log_is_shown_once_and_as_plain_text(thaw: Thaw) -> None:
    first = "[bold]trial[/]\x1b[31m red\x1b[0m\x1b]0;title\x07\x1b[2J \x9b1mone\n"
    steps = [
        ended("PENDING"),
        ended("RUNNING", log=first),
        ended("RUNNING"),
        {"error": True},
        ended("SUCCEEDED", log=first + "two\r\nthree\n"),
    ]
    with job_server(*steps) as server:
        code, out, _ = send(thaw, server)
    assert code == 0
    assert out.splitlines()[1:] == ["[bold]trial[/] red 1mone", "two", "three"]


def test_a_log_that_takes_long_is_read_less_often(
    thaw: Thaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_LOG_PAUSE", 1e6)
    grown = ["one\n", "one\ntwo\n", "one\ntwo\nthree\n"]
    steps = [*(ended("RUNNING", log=log) for log in grown), ended("SUCCEEDED", log="".join(grown))]
    with job_server(*steps) as server:
        _, out, _ = send(thaw, server)
        assert server.logs_read == 2, "the first, and the last in any case"
    assert out.splitlines()[1:] == "".join(grown).splitlines()


@pytest.mark.parametrize("own", [1, 2, 130])
def test_the_exit_code_is_the_jobs(own: int, thaw: Thaw) -> None:
    with job_server(ended("FAILED", log="it says why\n", driver_exit_code=own)) as server:
        code, out, err = send(thaw, server)
    assert code == own
    assert out.endswith("it says why\n")
    assert ("thaw submit --resume s3://bucket/out" in err) == (own == INTERRUPTED)


def test_a_job_that_did_not_come_to_run_says_why(thaw: Thaw) -> None:
    with job_server(ended("FAILED", message="no such package\nand more")) as server:
        code, out, _ = send(thaw, server)
    assert (code, out.splitlines()[-1]) == (1, "thaw: the job failed: no such package")


def test_a_stopped_job_has_saved_and_goes_on(thaw: Thaw) -> None:
    with job_server(ended("RUNNING", log=""), ended("STOPPED", log="saved\n")) as server:
        code, out, err = send(thaw, server)
    assert code == INTERRUPTED
    assert out.endswith("saved\n")
    assert f"thaw submit --resume s3://bucket/out --address {server.url}" in err


def interrupting(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Press Ctrl-C at each of the first waits; other threads, such as Ray's, wait as ever."""
    left = [KeyboardInterrupt] * times

    def sleep(_: float) -> None:
        if left:
            raise left.pop()

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(submit, "time", clock)


def test_ctrl_c_stops_the_job_and_waits_for_it(thaw: Thaw, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupting(monkeypatch, 1)
    with job_server(ended("RUNNING", log="")) as server:
        server.after_stop = [ended("RUNNING", log="saving\n"), ended("STOPPED", log="saving\nok\n")]
        code, out, err = send(thaw, server)
    assert server.stopped
    assert code == INTERRUPTED
    assert out.endswith("saving\nok\n")
    assert "thaw submit --resume s3://bucket/out" in err


def test_a_second_ctrl_c_leaves_it_alone(thaw: Thaw, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupting(monkeypatch, 2)
    with job_server(ended("RUNNING", log="")) as server:
        server.after_stop = [ended("RUNNING", log="")]
        code, out, _ = send(thaw, server)
    assert code == INTERRUPTED
    assert "left; the job was asked to stop" in out


def test_a_cluster_that_falls_silent_is_given_up(
    thaw: Thaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_SILENCE_S", 0.2)
    with job_server(ended("RUNNING", log=""), {"error": True}) as server:
        code, out, _ = send(thaw, server)
    assert code == 1
    assert "no word from the cluster for 0.2 s" in out


def test_no_wait_says_how_to_stop_and_go_on(thaw: Thaw) -> None:
    with job_server(ended("RUNNING", log="never shown")) as server:
        code, out, _ = send(thaw, server, "--no-wait")
    assert code == 0
    assert f"ray job stop {server.submitted['submission_id']}" in out
    assert "never shown" not in out


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_token(status: int, thaw: Thaw) -> None:
    with job_server(ended("RUNNING")) as server:
        server.refusal = status
        code, out, err = send(thaw, server)
    assert code == 2
    assert err.startswith(f"thaw: --address {server.url}: refused (Authentication ")
    assert err.count("\n") == 1 and "RAY_AUTH_MODE=token" in err
    assert out.startswith("ray job submit ")


def test_an_address_where_nobody_answers_is_told(thaw: Thaw) -> None:
    with job_server(ended("RUNNING")) as server:
        pass
    code, _, err = send(thaw, server)
    assert (code, err.count("\n")) == (2, 1)
    assert f"--address {server.url}: no Ray dashboard answers there" in err


def test_a_folder_that_is_too_big_is_told(thaw: Thaw) -> None:
    (Path.cwd() / "big").write_bytes(os.urandom(3_000))
    with job_server(ended("SUCCEEDED")) as server:
        server.most_bytes = 2_000
        code, _, err = send(thaw, server)
    assert (code, err.count("\n")) == (2, 1), err
    assert (
        "--working-dir: Package size" in err
        and "exceeds the maximum size of 1.00B;" in err
        and ".gitignore" in err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SEARCH, "--out", "out", *PLACES[2:]), "--out out: would be lost with the job"),
        ((*SEARCH, *PLACES[:2]), "--store results/store: would be lost with the job"),
        ((*SEARCH, *PLACES[2:]), "--out is not given: would be lost with the job"),
        (("--resume", "results/x"), "--resume results/x: would be lost with the job"),
        (
            (*SEARCH, *PLACES, "--storage", "sqlite:///x.db"),
            "--storage sqlite:///x.db: would be lost with the job",
        ),
        (("--resume", "s3://b/x", "--trials", "9"), "--trials: cannot be changed by --resume"),
        (PLACES, "submit: name a study, or results with --resume; not both"),
        ((*SEARCH, *PLACES, "--trails", "4"), "No such option"),
        ((*SEARCH, *PLACES, "--trials", "x"), "Invalid value for '--trials'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(
    arguments: tuple[str, ...], message: str, thaw: Thaw
) -> None:
    assert message in thaw.refused("submit", *arguments, "--address", "http://nowhere.invalid")


def test_a_storage_that_the_job_would_not_find_is_told(
    thaw: Thaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THAW_STORAGE", "postgresql://user:hush@host/thaw")
    line = thaw.refused("submit", *SEARCH, *PLACES, "--address", "http://nowhere.invalid")
    assert line.startswith("THAW_STORAGE: is not passed on to the job; give it by --storage")


def test_a_token_that_is_there_turns_tokens_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit.use_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("hush")
    submit.use_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    sent = submit.Submission(address="http://a", name="n", arguments=("x",), working_dir=".")
    assert sent.env_vars["RAY_AUTH_MODE"] == "token"
    assert sent.command().startswith("RAY_AUTH_MODE=token ray job submit ")
    assert "hush" not in sent.command()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    submit.use_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_plain_text_keeps_words_and_drops_what_steers() -> None:
    assert plain("\x1b[1;31mred\x1b[m\tblue\r\nü 漢\x00\x08\x7f\x1b(B") == "red\tblue\nü 漢(B"
