import pytest

from tests.thaw.helpers import Thaw


@pytest.fixture
def thaw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Thaw:
    """The command line in this process."""
    return Thaw(monkeypatch, capsys)
