"""Trouble with storage: what may pass is waited for, what lasts is told in one line."""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import time
from collections.abc import Callable
from random import Random
from typing import TypeVar

from training.errors import UserError
from training.pulse import beat

PATIENCE = "THAW_STORE_PATIENCE_S"
"""Environment variable: for how many seconds storage that fails is tried again."""
PATIENCE_S = 600.0
"""What it is where nobody says; under the half hour after which other ranks give up."""
_FIRST_S = 0.5
_LONGEST_S = 30.0

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOTCONN,
    errno.EPIPE,
    errno.EREMOTEIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_PASSING_AWS = {
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "NO_SUCH_UPLOAD",  # completed before, and the answer was lost: the whole file is sent again
    "REQUEST_TIMEOUT",
    "SERVICE_UNAVAILABLE",
    "SLOW_DOWN",
    "THROTTLING",
}
_PASSING_HTTP = {"408", "425", "429"}
_AWS = re.compile(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))?")
_CREDENTIALS = re.compile(
    r"ACCESS_DENIED|SIGNATURE|TOKEN|ACCESS_KEY|UNRECOGNIZED_CLIENT|HTTP status 40[013]"
)

_log = logging.getLogger("thaw.store")
T = TypeVar("T")


class StoreTrouble(UserError):
    """Storage cannot be used any more, but what is in it is whole: a search halts, and resumes."""


class StoreFull(StoreTrouble):
    """There is no room for a file; what was there before still is, and nothing else."""


class StoreLost(StoreTrouble):
    """Storage refuses for good, or has failed for as long as it was waited for."""


def told_by(line: str) -> str:
    """Return what a `StoreTrouble` said of which another process tells in `line`, or nothing."""
    kinds = "|".join(kind.__name__ for kind in (StoreFull, StoreLost))
    found = re.search(rf"\b(?:{kinds}): (.*)", line)
    return found[1] if found else ""


def behind(error: BaseException | None) -> StoreTrouble | None:
    """Return the `StoreTrouble` that led to an error, or None where none did."""
    while error is not None and not isinstance(error, StoreTrouble):
        error = error.__cause__ or error.__context__
    return error


def passes(error: OSError) -> bool:
    """Tell whether an error may be gone at the next try: a time-out, a 5xx, a stale handle.

    pyarrow gives a number only where there is one; what S3 says is in its text: `AWS Error CODE`,
    or `AWS Error UNKNOWN (HTTP status 503)` where an answer has no body. An error that says
    neither (a stream that ends too early) may pass.
    """
    if error.errno is not None:
        return error.errno in _PASSING
    told = _AWS.search(str(error))
    if told is None or told[1] in _PASSING_AWS:
        return True
    status = told[2] or ""
    return status in _PASSING_HTTP or status.startswith("5")


def reason(error: OSError) -> str:
    """Return what went wrong in one line, with what to look at where access is refused."""
    text = os.strerror(error.errno) if error.errno is not None else str(error)
    line = " ".join(text.split())
    if _CREDENTIALS.search(line):
        line += "; look at the credentials, and at what they may do there"
    return line


def default_s() -> float:
    """Return for how many seconds to try again; raise `UserError` for what is no such number."""
    text = os.environ.get(PATIENCE, "")
    try:
        seconds = float(text or PATIENCE_S)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise UserError(f"{PATIENCE}={text!r}: must be a number of seconds, 0 or more")
    return seconds


class Patience:
    """Tries again what fails, for so many seconds; who has waited in vain waits no second time."""

    def __init__(self, name: str, limit_s: float, random: Random) -> None:
        """Call the storage `name`; `random` spreads the tries of many processes."""
        self._name = name
        self._limit_s = limit_s
        self._random = random
        self._given_up = False

    def call(self, act: Callable[[], T]) -> T:
        """Return what `act` returns; raise `StoreLost` where it fails for good.

        Between two tries it waits for a random time below a bound that doubles, from half a second
        to half a minute. `FileNotFoundError` is an answer and is raised as it is.
        """
        end = time.monotonic() + (0.0 if self._given_up else self._limit_s)
        bound_s = _FIRST_S
        while True:
            try:
                found = act()
            except FileNotFoundError:
                raise
            except OSError as error:
                self._wait(error, end, bound_s)
                bound_s = min(2 * bound_s, _LONGEST_S)
            else:
                self._given_up = False
                return found

    def _wait(self, error: OSError, end: float, bound_s: float) -> None:
        """Wait before the next try; raise where there is none."""
        if not passes(error):
            raise StoreLost(f"{self._name}: {reason(error)}") from None
        left_s = end - time.monotonic()
        if left_s <= 0:
            self._given_up = True
            raise StoreLost(
                f"{self._name}: {reason(error)}; tried again for {self._limit_s:g} s ({PATIENCE})"
            ) from None
        if bound_s == _FIRST_S:
            _log.warning("%s: %s; trying again for %.0f s", self._name, reason(error), left_s)
        time.sleep(min(left_s, bound_s * self._random.uniform(0.5, 1.0)))
        beat()  # who waits for storage does not hang
