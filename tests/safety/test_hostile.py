"""Files made to harm: bombs, names that climb out, text that acts on a terminal or a page."""

import hashlib
import html
import io
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from rich.table import Table as RichTable

from analysis.files import write_bytes
from search_spaces.lr_sequence import STUDY
from search_spaces.study import config_of
from tests.safety.test_mutations import RECORD, SEARCHED
from tests.safety.watching import Watch
from tests.thaw.helpers import Thaw, spec
from tests.training.helpers import TinyTask, keys, path_of, run, same, schedule, stage, state
from thaw.asking import OptunaSource
from thaw.console import PlainConsole
from thaw.matrix_file import MatrixFile, planned_runs
from thaw.proposer import Proposer
from thaw.results import Row, Table, write_search
from thaw.resume import take_up
from thaw.sampling import make_sampler, open_study
from thaw.store_commands import show_store
from thaw.view import final_table
from trainables.classifier import baseline
from trainables.spec import TrialSpec
from training.budget import prune
from training.errors import UserError
from training.settings import Place
from training.store import Store

ROOT = Path(__file__).parents[2]
TERMINAL = "\x1b]0;owned\x07\x1b[2J"
HOSTILE = ("<script>alert(1)</script>", "../../x", TERMINAL, "[red]x[/]", "a\rb\u202e")
TINY = TinyTask()
PLAN = schedule(stage(epochs=2))


class Bomb:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.system, (f"touch {self._mark}",)


def bombs(mark: Path) -> dict[str, bytes]:
    """Pickles that make the file `mark` when they are loaded."""
    saved = io.BytesIO()
    torch.save({"models": Bomb(mark)}, saved)
    old = io.BytesIO()
    torch.save({"models": Bomb(mark)}, old, _use_new_zipfile_serialization=False)
    return {"torch": saved.getvalue(), "old": old.getvalue(), "pickle": pickle.dumps(Bomb(mark), 2)}


def test_a_bomb_goes_off_where_it_is_loaded(tmp_path: Path) -> None:
    for number, bomb in enumerate(("torch", "old", "pickle")):
        mark = tmp_path / str(number)
        data = bombs(mark)[bomb]
        pickle.loads(data) if bomb == "pickle" else torch.load(io.BytesIO(data), weights_only=False)
        assert mark.exists(), bomb


@pytest.mark.parametrize("bomb", ["torch", "old", "pickle"])
def test_a_bomb_in_place_of_a_state_is_trained_over(
    bomb: str, tmp_path: Path, watch: Watch
) -> None:
    store, fresh = Store(str(tmp_path / "store")), Store(str(tmp_path / "fresh"))
    first, last = keys(PLAN, TINY)
    run(schedule(stage(epochs=1)), store, TINY)
    data = bombs(tmp_path / "mark")[bomb]
    sealed = hashlib.sha256(data).hexdigest().encode() + data
    path_of(store, first, "state").write_bytes(sealed)
    run(PLAN, store, TINY)
    run(PLAN, fresh, TINY)
    assert not (tmp_path / "mark").exists()
    same(state(store, last), state(fresh, last))


def test_a_whole_state_of_something_else_is_trained_over(tmp_path: Path) -> None:
    store, fresh = Store(str(tmp_path / "store")), Store(str(tmp_path / "fresh"))
    first, last = keys(PLAN, TINY)
    run(schedule(stage(epochs=1)), store, TINY)
    (record,) = (store.record(first),)
    assert record is not None
    for other in ({}, {"models": {"x": torch.zeros(1)}, "optimizer": {}, "averaged": None}):
        store.publish(record, other)
        run(PLAN, store, TINY)
        run(PLAN, fresh, TINY)
        same(state(store, last), state(fresh, last))
        path_of(store, last, "record.json").unlink()
        store = Store(store.url)


def test_a_bomb_in_place_of_a_record_is_no_record(tmp_path: Path, watch: Watch) -> None:
    store = Store(str(tmp_path / "store"))
    for data in bombs(tmp_path / "mark").values():
        store.files.write(f"ab/{RECORD.key}/record.json", data)
        assert store.record(RECORD.key) is None
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("bomb", ["torch", "old", "pickle"])
def test_a_bomb_as_starting_weights_is_refused(
    bomb: str, tmp_path: Path, thaw: Thaw, watch: Watch
) -> None:
    (tmp_path / "w.pt").write_bytes(bombs(tmp_path / "mark")[bomb])
    said = thaw.refused("train", "unfreeze_timing", "--set", f"weights={tmp_path / 'w.pt'}")
    assert "no plain torch checkpoint" in said and not (tmp_path / "mark").exists()


@pytest.mark.parametrize("key", ["../../x", "", "ab" * 31 + "/x", "AB" * 32, "ab" * 32 + "\n"])
def test_a_key_that_climbs_out_is_no_key(key: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    for use in (store.record, store.state, store.has_state, store.drop_state):
        with pytest.raises(UserError, match="is no key"):
            use(key)
    with pytest.raises(UserError, match="is no key"):
        store.publish(replace(RECORD, key=key), {})
    assert list(tmp_path.iterdir()) == []


def test_records_that_lead_in_a_circle_or_out_end(tmp_path: Path, watch: Watch) -> None:
    store = Store(str(tmp_path / "store"))
    parents = {"a": "a", "b": "c", "c": "b", "d": "c"}
    for key, parent in parents.items():
        store.publish(replace(RECORD, key=key * 64, parent=parent * 64), {"w": torch.zeros(9)})
    store.publish(replace(RECORD, key="e" * 64, parent="../../x\x1b[2J[/]"), {})
    file = io.StringIO()
    show_store(store.url, PlainConsole(file=file, width=200))
    assert "\x1b" not in file.getvalue() and "../../x" in file.getvalue()
    assert len(prune(store, 0).dropped) == 5
    assert not any(entry.state_bytes for entry in store.entries())


@pytest.mark.parametrize("column", ["trial", "folder", "best_key"])
def test_a_table_that_climbs_out_is_refused(
    column: str, tmp_path: Path, thaw: Thaw, watch: Watch
) -> None:
    folder = tmp_path / "out"
    row = Row("0000", {}, "finished", "finished", 0.5, 0.5, "ab" * 32, folder="0000")
    setattr(row, column, "../../x" if column != "folder" else "..")
    options = SEARCHED["options"] | {"store": str(tmp_path / "store")}
    write_search(folder, SEARCHED | {"options": options})
    Table("val_accuracy", "max", {"0000": row}).write(folder)
    (folder / "0000").mkdir()
    for place in (folder / "0000", tmp_path):
        (place / "schedule.yaml").write_text(spec(1e-3).yaml())
    (tmp_path / "x").mkdir()
    (tmp_path / "x/state").write_bytes(b"")
    said = thaw.refused("best", folder)
    assert "is no name of a folder" in said or "is no key" in said, said


def test_a_link_out_of_the_results_is_refused(tmp_path: Path, thaw: Thaw) -> None:
    folder, other = tmp_path / "out", tmp_path / "other"
    write_search(folder, SEARCHED)
    Table("val_accuracy", "max").write(folder)
    other.write_text("mine")
    (folder / "0001/rank").mkdir(parents=True)
    for name in ("0000", ".trials.csv.new", "segments.txt", "0001/schedule.yaml", "0001/rank/log"):
        (folder / name).symlink_to(other)
        assert "is a link" in thaw.refused("search", "--resume", folder)
        (folder / name).unlink()
    (folder / ".x.png.new").symlink_to(other)
    write_bytes(folder / "x.png", b"picture")
    assert other.read_text() == "mine" and (folder / "x.png").read_bytes() == b"picture"


def test_runs_that_climb_out_are_compared_inside(tmp_path: Path, thaw: Thaw, watch: Watch) -> None:
    lines = ["run,step,val_acc"]
    for name in ("../../x", "/etc/x", "..", HOSTILE[0], TERMINAL):
        lines += [f'"{name}",{n},{n / 10}' for n in range(1, 4)]
    (tmp_path / "logs.csv").write_text("\n".join(lines))
    code, out, err = thaw("compare", tmp_path / "logs.csv", "--out", tmp_path / "compared")
    assert code == 0, err
    assert len(list((tmp_path / "compared").rglob("events*"))) >= 5 and "\x1b" not in out


@pytest.mark.parametrize("name", ["..", ".", "search.json", "a" * 300])
def test_a_run_of_a_matrix_cannot_be_called_so(name: str, tmp_path: Path, watch: Watch) -> None:
    data = yaml.safe_load((ROOT / "docs/matrix.yaml").read_text())
    data["axes"] = {"model": {name: data["axes"]["model"]["PSPNet"]}}
    data["priority"] = []
    (tmp_path / "matrix.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match=r"choose another name|no name of a folder"):
        planned_runs(MatrixFile.read(tmp_path / "matrix.yaml"))


def propose() -> Proposer:
    config = config_of(STUDY, {})
    trial = TrialSpec(system="classifier", schedule=baseline(config, seed=0))  # type: ignore[arg-type]
    return Proposer(STUDY, config, {}, trial, trial.facts(Place()))


def test_a_study_with_trials_of_another_is_refused(tmp_path: Path, watch: Watch) -> None:
    """Names of parameters and of what they were, that no dimension has."""
    folder, url = tmp_path / "out", f"sqlite:///{tmp_path}/optuna.db"
    study = optuna.create_study(storage=url, study_name=STUDY.name, direction="maximize")
    trial = study.ask()
    for text in HOSTILE:
        trial.suggest_categorical(text, HOSTILE)
        trial.set_user_attr(text, text)
    trial.set_user_attr("ended", HOSTILE[0])
    trial.set_user_attr("segments", "../../x")
    study.tell(trial, 0.5)
    write_search(folder, SEARCHED)
    Table("val_accuracy", "max").write(folder)
    opened = open_study(STUDY, {}, url, resume=True)
    source = OptunaSource(
        opened, propose(), num_trials=2, sampler=lambda n: make_sampler("random", {}, 0, n)
    )
    with pytest.raises(UserError, match="its trials are not those of"):
        take_up(opened, source, folder, Table("val_accuracy", "max"))


@pytest.mark.parametrize("data", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_study_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "optuna.db").write_bytes(data)
    with pytest.raises(UserError, match="--storage: cannot be opened"):
        open_study(STUDY, {}, f"sqlite:///{tmp_path}/optuna.db", resume=True)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_bomb_in_place_of_a_samplers_state_is_refused(tmp_path: Path, watch: Watch) -> None:
    """Optuna's own CMA-ES sampler loads a pickle from the study."""
    mark = tmp_path / "mark"
    study = optuna.create_study()
    for number in range(3):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_float("y", 0, 1)
        study._storage.set_trial_system_attr(
            trial._trial_id, "cma:optimizer:0", pickle.dumps(Bomb(mark)).hex()
        )
        study.tell(trial, float(number))
    study.sampler = make_sampler("cmaes", {}, 0, 3)
    with pytest.raises(UserError, match="trial 2 holds no state of CMA-ES"):
        study.ask().suggest_float("x", 0, 1)
    assert not mark.exists()
    unsafe = optuna.samplers.CmaEsSampler(seed=0)
    unsafe._restore_optimizer(study.get_trials(deepcopy=False)[:3])
    assert mark.exists(), "the bomb was none"
    mark.unlink()
    watch.clear()


def test_text_does_nothing_on_a_terminal() -> None:
    rows = {
        text: Row(text, {text: text}, "failed", text, 0.5, 0.5, folder=text) for text in HOSTILE
    }
    hostile = RichTable(*HOSTILE, title=HOSTILE[2])
    hostile.add_row(*HOSTILE)
    file = io.StringIO()
    console = PlainConsole(file=file, width=400, force_terminal=True, color_system="standard")
    console.print(final_table(Table("val_accuracy", "max", rows), width=400), hostile, *HOSTILE)
    shown = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())  # colours and weights are ours
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", shown), ascii(shown)
    assert shown.count("[red]x[/]") >= 7 and HOSTILE[0] in shown


def test_an_error_is_one_line_whatever_it_names(tmp_path: Path, thaw: Thaw) -> None:
    path = tmp_path / "x\x1b[2J\ny.yaml"
    path.write_text("system: classifier\nschedule: {stages: 1}")
    said = thaw.refused("train", path)
    assert "\x1b" not in said and "schedule.stages" in said


def test_a_report_runs_nothing_of_the_logs(tmp_path: Path, thaw: Thaw, watch: Watch) -> None:
    logs, out = tmp_path / "<img src=x onerror=alert(1)>", tmp_path / "report"
    logs.mkdir()
    for run_name, gain in (
        ("'\"><svg onload=alert(2)>", 0.0),
        ("b&lt;script&gt;", 0.1),
        (TERMINAL, 0.2),
    ):
        lines = ["epoch,lr,<script>alert(3)</script>,val_acc"]
        lines += [f"{n},0.1,{n / 30},{n / 30 + gain}" for n in range(1, 21)]
        (logs / f"{run_name}.csv").write_text("\n".join(lines))
    code, told, err = thaw("report", "diminishing-returns", logs, "--out", out)
    assert code == 0 and "\x1b" not in told + err, err
    page = (out / "report.html").read_text(encoding="utf-8")
    rest = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "script-src 'unsafe-inline'" in page and "default-src 'none'" in page
    for text in ("<img src", "<svg", "alert(3)</script", "<script>alert"):
        assert text not in rest, rest[rest.index(text) - 80 :][:200]
    assert html.escape("<svg onload=alert(2)>") in rest.replace("<wbr>", "")
    plain = (out / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"<(img|svg|script)", plain)
