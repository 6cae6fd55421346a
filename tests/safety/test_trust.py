"""Data may name Python files; only those that the user ran before are run."""

import base64
import json
from pathlib import Path

import pytest

from tests.safety.test_mutations import SEARCHED
from tests.thaw.helpers import Thaw
from thaw.reading import read_facts
from trainables import trust
from trainables.spec import TrialSpec
from trainables.systems import load
from training.errors import UserError

EVIL = "from pathlib import Path\nPath({mark!r}).touch()\n"
SCHEDULE = "system: {file}\ntask: {{}}\nschedule: {{stages: [{{name: a, epochs: 1, lr: 0.1}}]}}\n"


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python file that makes the file `mark` beside it when it is run."""
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "evil.py"
    path.write_text(EVIL.format(mark=str(tmp_path / "mark")))
    return path


def test_a_file_that_a_schedule_names_is_not_run(evil: Path, thaw: Thaw) -> None:
    schedule = evil.with_name("schedule.yaml")
    schedule.write_text(SCHEDULE.format(file=evil))
    said = thaw.refused("train", schedule)
    assert f"names the Python file {evil}, which you have not run before" in said
    assert not evil.with_name("mark").exists()


def test_a_file_that_a_schedule_names_in_bytes_is_not_run(evil: Path, thaw: Thaw) -> None:
    schedule = evil.with_name("schedule.yaml")
    name = base64.b64encode(str(evil).encode()).decode()
    schedule.write_text(SCHEDULE.format(file=f"!!binary {name}"))
    thaw.refused("train", schedule)
    assert not evil.with_name("mark").exists()


def test_a_file_that_a_search_names_is_not_run(evil: Path, thaw: Thaw) -> None:
    options = SEARCHED["options"] | {"study": str(evil)}
    for number, changed in enumerate(({"options": options}, {"system": str(evil)})):
        facts = SEARCHED | changed
        folder = evil.with_name(str(number))
        folder.mkdir()
        (folder / "search.json").write_text(json.dumps(facts))
        (folder / "trials.csv").write_text("trial\n")
        assert "which you have not run before" in thaw.refused("search", "--resume", folder)
    assert not evil.with_name("mark").exists()


def test_a_file_that_a_matrix_names_is_not_run(evil: Path, thaw: Thaw) -> None:
    matrix = evil.with_name("matrix.yaml")
    matrix.write_text(f"study: {evil}\naxes: {{a: {{b: {{}}}}}}\n")
    assert "which you have not run before" in thaw.refused("matrix", matrix)
    assert not evil.with_name("mark").exists()


def test_a_file_that_was_run_may_be_named(evil: Path) -> None:
    schedule = evil.with_name("schedule.yaml")
    schedule.write_text(SCHEDULE.format(file=evil))
    load(str(evil), {}, "study")
    trust.check(str(evil), "x")
    with pytest.raises(UserError, match="offers no 'Settings'"):
        TrialSpec.read(str(schedule))


def test_a_folder_may_be_trusted(evil: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THAW_TRUST", f"/nowhere:{evil.parent}")
    trust.check(str(evil), "x")
    monkeypatch.setenv("THAW_TRUST", str(evil.parent / "cache"))
    for name in (str(evil), f"{evil.parent}/cache/../evil.py"):
        with pytest.raises(UserError, match="not run before"):
            trust.check(name, "x")


def test_a_name_of_the_project_needs_no_trust(evil: Path) -> None:
    folder = evil.parent
    (folder / "search.json").write_text(json.dumps(SEARCHED))
    assert read_facts(folder, "search")["study"] == "lr_sequence"
