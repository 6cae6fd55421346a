"""Asks whether there are known weaknesses in the pinned packages: `python -m tests.audit`.

The list of advisories is that of https://osv.dev. Where it cannot be reached in time, or pip-audit
is not installed, the audit is skipped in one line: a build needs no network.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).parents[1] / "constraints.txt"
HOST = "api.osv.dev"
REACH_S, AUDIT_S = 3.0, 15.0
ACCEPTED: dict[str, str] = {}
"""Advisory -> why it does not matter here, or cannot be mended yet."""


def reachable(host: str = HOST) -> bool:
    """Tell whether the list of advisories can be reached."""
    try:
        socket.create_connection((host, 443), timeout=REACH_S).close()
    except OSError:
        return False
    return True


def command(pins: Path = PINS) -> list[str]:
    """Return the call of pip-audit: the pins as they are, nothing is resolved or installed."""
    ignored = [part for name in ACCEPTED for part in ("--ignore-vuln", name)]
    options = ["--disable-pip", "--no-deps", "--vulnerability-service", "osv", "--progress-spinner"]
    return [sys.executable, "-m", "pip_audit", "-r", str(pins), *options, "off", *ignored]


def skipped(why: str) -> int:
    """Say aloud that nothing was audited."""
    print(f"lint: audit SKIPPED: {why}")
    return 0


def audit(pins: Path = PINS, host: str = HOST, seconds: float = AUDIT_S) -> int:
    """Return 1 where a pinned package has an advisory that is not in `ACCEPTED`, else 0."""
    if importlib.util.find_spec("pip_audit") is None:
        return skipped("pip-audit is not installed")
    if not reachable(host):
        return skipped(f"the list of advisories cannot be reached ({host})")
    try:
        done = subprocess.run(
            command(pins), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return skipped(f"{host} did not answer within {seconds:g} s")
    if done.returncode and "known vulnerabilit" in done.stdout + done.stderr:
        print(done.stdout)
        return 1
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return skipped(lines[-1] if lines else f"pip-audit ended with {done.returncode}")
    return 0


if __name__ == "__main__":
    for name, reason in ACCEPTED.items():
        print(f"lint: audit accepts {name}: {reason}")
    sys.exit(audit())
