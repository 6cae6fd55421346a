from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.safety.watching import Watch, watching
from tests.thaw.helpers import Thaw


@pytest.fixture
def thaw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Thaw:
    """The command line in this process."""
    return Thaw(monkeypatch, capsys)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """What is run, and what is written or deleted outside the test's folder; must end empty."""
    with watching(tmp_path) as found:
        yield found
        assert found == [], found
