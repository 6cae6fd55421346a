"""A search as a job of a Ray cluster: sent, followed by its status, stopped so that it saves."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.device_share import DEVICE_CACHE
from training.errors import UserError
from training.trouble import PATIENCE

STOP_S = 120
"""Seconds that a search has to save after it was asked to stop; Ray itself gives it 3."""
INTERRUPTED = 130
_POLL_S = 2.0
_SILENCE_S = 300.0
_ANSWER_S = 30.0
_LOG_PAUSE = 20
"""Time from one reading of the log to the next, in times of what it took."""
_AUTH_MODE = "RAY_AUTH_MODE"
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_TOO_BIG = re.compile(r"Package size \S+ exceeds the maximum size of [\w.]*\w")
_CHATTY = ("ray._private.runtime_env.packaging", "ray.dashboard.modules.dashboard_sdk")
"""Loggers that name each file that is not sent, many times over."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is sent to the cluster."""

    address: str
    """Of the dashboard, such as http://head:8265."""
    name: str
    """The job's submission id."""
    arguments: tuple[str, ...]
    """Of `thaw search`, without its --address."""
    working_dir: str

    @property
    def entrypoint(self) -> str:
        """Return the command that runs on the head node."""
        return shlex.join(("thaw", "search", *self.arguments, "--address", "auto"))

    @property
    def env_vars(self) -> dict[str, str]:
        """Return what the job finds in its environment: it saves on SIGINT, and has time to."""
        names = (_AUTH_MODE, PATIENCE, DEVICE_CACHE)
        told = {name: os.environ[name] for name in names if name in os.environ}
        return {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S), **told}

    def command(self) -> str:
        """Return the `ray job submit` that does the same; a token is never part of it."""
        mode = [f"{_AUTH_MODE}={os.environ[_AUTH_MODE]}"] if _AUTH_MODE in os.environ else []
        words = (
            *("ray", "job", "submit", "--address", self.address, "--submission-id", self.name),
            *("--working-dir", self.working_dir),
            *("--runtime-env-json", json.dumps({"env_vars": self.env_vars})),
            *("--", "thaw", "search", *self.arguments, "--address", "auto"),
        )
        return " ".join([*mode, shlex.join(words)])


def use_token() -> None:
    """Turn token authentication on where there is a token and nothing says otherwise.

    Ray reads the mode when it is imported; without it a job is refused (401).
    """
    has_file = (Path.home() / ".ray" / "auth_token").is_file()
    if _AUTH_MODE not in os.environ and (has_file or any(os.environ.get(n) for n in _TOKENS)):
        os.environ[_AUTH_MODE] = "token"


def connect(address: str) -> Any:
    """Return a client of the dashboard at `address`, which counts for more than $RAY_ADDRESS."""
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    from ray.job_submission import JobSubmissionClient

    return _told(address, lambda: JobSubmissionClient(address))


def send(client: Any, submission: Submission) -> None:
    """Upload the working directory and start the job; raise `UserError` where it is refused."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    runtime_env = {"working_dir": submission.working_dir, "env_vars": submission.env_vars}
    _told(
        submission.address,
        lambda: client.submit_job(
            entrypoint=submission.entrypoint,
            submission_id=submission.name,
            runtime_env=runtime_env,
        ),
    )


class Follower:
    """Follows a job to its end: its status decides, its log is shown as far as it can be had."""

    def __init__(self, client: Any, job: str, say: Callable[[str], None]) -> None:
        """Follow `job`; `say` prints a piece of text as it is."""
        client._do_request = partial(client._do_request, timeout=_ANSWER_S)  # it has none itself
        self._client = client
        self._job = job
        self._say = say
        self._shown = 0
        self._next_log_s = 0.0
        self._heard_s = time.monotonic()

    def follow(self) -> int:
        """Wait for the end and return the exit code: the job's own, 130 where it was stopped.

        Ctrl-C asks the job to stop, which lets the search save, and waits for it; a second one
        leaves it alone.
        """
        stopping = False
        while True:
            try:
                code = self._look()
                if code is not None:
                    return code
                time.sleep(_POLL_S)
            except KeyboardInterrupt:
                if stopping:
                    self._say("\nthaw: left; the job was asked to stop, and ends by itself\n")
                    return INTERRUPTED
                stopping = True
                self._stop()

    def _look(self) -> int | None:
        """Show what is new; return the exit code, or None while the job goes on."""
        try:
            details = self._client.get_job_info(self._job)
        except (RuntimeError, OSError) as error:  # requests' errors are of OSError
            if time.monotonic() - self._heard_s < _SILENCE_S:
                return None
            self._say(f"thaw: no word from the cluster for {_SILENCE_S:g} s ({_line(error)})\n")
            return 1
        self._heard_s = time.monotonic()
        status = str(details.status)
        self._show_log(is_last=details.status.is_terminal())
        if status == "SUCCEEDED":
            return 0
        if status == "STOPPED":
            return INTERRUPTED
        if status != "FAILED":
            return None
        code = getattr(details, "driver_exit_code", None)
        if not code:  # it did not come to run
            self._say(f"thaw: the job failed: {_line(details.message or 'no reason is known')}\n")
        return int(code or 1)

    def _show_log(self, *, is_last: bool) -> None:
        """Show what the log has more than before; one that cannot be read is left for later.

        It comes whole each time, so a long one is asked for less often.
        """
        began_s = time.monotonic()
        if not is_last and began_s < self._next_log_s:
            return
        try:
            log = self._client.get_job_logs(self._job)
        except (RuntimeError, OSError):
            return
        took_s = time.monotonic() - began_s
        self._next_log_s = began_s + _LOG_PAUSE * took_s
        if len(log) > self._shown:
            self._say(plain(log[self._shown :]))
            self._shown = len(log)

    def _stop(self) -> None:
        self._say(
            f"\nthaw: asking the job to stop; the search saves, which may take {STOP_S} s; Ctrl-C "
            "again leaves it to itself\n"
        )
        try:
            self._client.stop_job(self._job)
        except (RuntimeError, OSError) as error:
            self._say(f"thaw: it could not be asked: {_line(error)}\n")


def plain(text: str) -> str:
    """Return text that moves no cursor and sets no title: without escapes and control characters.

    Line ends, tabs and carriage returns become what a file would hold.
    """
    bare = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in bare if char in "\n\t" or char.isprintable())


def _told(address: str, act: Callable[[], Any]) -> Any:
    """Return what `act` returns; turn what a client of Ray raises into one line."""
    from ray.exceptions import AuthenticationError

    try:
        return act()
    except AuthenticationError as error:
        raise UserError(
            f"--address {address}: refused ({_line(error)}); put the cluster's token into "
            "~/.ray/auth_token, or its file's name into $RAY_AUTH_TOKEN_PATH, and set "
            f"{_AUTH_MODE}=token"
        ) from None
    except ConnectionError:
        raise UserError(
            f"--address {address}: no Ray dashboard answers there; name it as http://HOST:8265"
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        too_big = _TOO_BIG.search(str(error))
        if too_big:
            raise UserError(
                f"--working-dir: {too_big[0]}; what .gitignore names is not sent"
            ) from None
        raise UserError(f"--address {address}: {_line(error)}") from None


def _line(error: object) -> str:
    """Return the first line of a message."""
    lines = plain(str(error)).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
