"""The audit of the pinned packages: no network fails no build, an advisory does."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import audit


def test_without_a_network_it_is_skipped_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.audit(host="advisories.invalid") == 0
    assert "audit SKIPPED: the list of advisories cannot be reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "out", "err", "result", "said"),
    [
        (0, "", "No known vulnerabilities found", 0, ""),
        (1, "ray 1.0 PYSEC-1", "Found 1 known vulnerability in 1 package", 1, "PYSEC-1"),
        (1, "", "ERROR: could not connect", 0, "SKIPPED: ERROR: could not connect"),
    ],
)
def test_only_an_advisory_fails(
    code: int,
    out: str,
    err: str,
    result: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(audit, "reachable", lambda host: True)
    script = f"import sys; print({out!r}); print({err!r}, file=sys.stderr); sys.exit({code})"
    monkeypatch.setattr(audit, "command", lambda pins: [audit.sys.executable, "-c", script])
    assert audit.audit() == result
    assert said in capsys.readouterr().out


def test_one_that_takes_long_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def late(*arguments: Any, timeout: float, **options: Any) -> None:
        raise subprocess.TimeoutExpired("pip_audit", timeout)

    monkeypatch.setattr(audit, "reachable", lambda host: True)
    monkeypatch.setattr(subprocess, "run", late)
    assert audit.audit() == 0
    assert "did not answer within 15 s" in capsys.readouterr().out


def test_pip_audit_knows_the_options(tmp_path: Path) -> None:
    """It refuses a file that is not there, and not one of its options."""
    call = audit.command(tmp_path / "none.txt")
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert "none.txt" in done.stderr and "unrecognized" not in done.stderr, done.stderr
