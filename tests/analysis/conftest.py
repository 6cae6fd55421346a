"""The logs of the reference report, read once."""

from pathlib import Path

import pytest

from analysis.diminishing.options import Options
from analysis.diminishing.tables import Tables, compute
from analysis.logs import Logs, read_logs
from tests.analysis.making import LABELS, write_logs


@pytest.fixture(scope="session")
def reference_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `logs`, with `planned.csv` beside it."""
    folder = tmp_path_factory.mktemp("reference") / "logs"
    write_logs(folder)
    return folder


@pytest.fixture(scope="session")
def reference_logs(reference_folder: Path) -> Logs:
    return read_logs([reference_folder], labels=LABELS)


@pytest.fixture(scope="session")
def reference_tables(reference_logs: Logs, reference_folder: Path) -> Tables:
    planned = str(reference_folder.parent / "planned.csv")
    return compute(reference_logs, Options(planned=planned))
