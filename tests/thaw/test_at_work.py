"""One process at a time works in a folder of results, and one that died holds nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.safety.test_mutations import SEARCHED
from tests.thaw.helpers import Thaw, spec
from thaw.at_work import is_at_work, working_in
from thaw.mirror import fetched, local_folder
from thaw.results import Row, Table, write_search
from training.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from thaw.at_work import working_in
with working_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Results of a search of one trial, without what it trained."""
    options = SEARCHED["options"] | {"store": str(tmp_path / "store")}
    write_search(tmp_path / "out", SEARCHED | {"options": options})
    row = Row("0000", {}, "finished", "finished", 0.5, 0.5, folder="0000")
    Table("val_accuracy", "max", {"0000": row}).write(tmp_path / "out")
    (tmp_path / "out/0000").mkdir()
    (tmp_path / "out/0000/schedule.yaml").write_text(spec(1e-3).yaml())
    return tmp_path / "out"


def test_a_search_that_runs_cannot_be_gone_on_with(out: Path, thaw: Thaw) -> None:
    with working_in(out):
        line = thaw.refused("search", "--resume", out, "--address", "127.0.0.1:1")
    assert line == f"{out}: another `thaw` is at work there"


@pytest.mark.parametrize("command", [("extend", "--epochs", "9"), ("confirm",)])
def test_a_list_of_trials_that_runs_is_not_run_again(
    command: tuple[str, ...], out: Path, thaw: Thaw
) -> None:
    other = out.with_name("other")
    with working_in(other):
        line = thaw.refused(command[0], out, *command[1:], "--out", other)
    assert line == f"{other}: another `thaw` is at work there"


def test_what_a_search_at_a_url_has_here_is_not_fetched_anew_while_it_runs() -> None:
    url = "s3://bucket/first"
    with (
        working_in(local_folder(url)),
        pytest.raises(UserError, match=f"^{url}: another `thaw` is at work there"),
    ):
        fetched(url)


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out"], stdout=-1) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert is_at_work(tmp_path / "out")
        process.kill()
    assert not is_at_work(tmp_path / "out")
    with working_in(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_where_no_lock_can_be_had_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with working_in(tmp_path / "file" / "out"):
        pass
