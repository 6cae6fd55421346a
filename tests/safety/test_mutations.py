"""1,200 changed files: each is taken, or refused in one line; nothing is run, nothing outside."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from search_spaces.lr_sequence import STUDY
from tests.safety.mutations import bytes_of, structures
from tests.safety.watching import watching
from tests.thaw.helpers import spec
from thaw.choosing import choose
from thaw.matrix_file import MatrixFile, planned_runs
from thaw.matrix_status import read_states
from thaw.options import Options
from thaw.results import Row, Table, read_search, write_search
from thaw.resume import resumed_search
from trainables.spec import TrialSpec
from training.encoding import encode_record
from training.errors import UserError
from training.files import Files
from training.record import Record
from training.schedule import Facts
from training.settings import Place
from training.store import Store

ROOT = Path(__file__).parents[2]
RECORD = Record(
    key="ab" * 32,
    parent="cd" * 32,
    index=3,
    data="target",
    metrics={"train_loss": 0.5, "val_accuracy": 0.25},
    num_steps=3,
    lr_first=1e-3,
    lr_last=1e-4,
    world_size=1,
    train_s=0.5,
    eval_s=0.25,
    restore_s=0.0,
    tables={"val_confusion": [[1, 2], [3, 4]]},
)
FACTS = Facts(
    root="root",
    num_train=(("target", 64),),
    layers=(("model", ("encoder", "decoder", "experts", "head")),),
    loss=(("deep_supervision", 0.4),),
    place=Place(),
)
SCHEDULE = yaml.safe_load((ROOT / "docs/rescue.yaml").read_text())
MATRIX = yaml.safe_load((ROOT / "docs/matrix.yaml").read_text())
OPTIONS = Options(study="lr_sequence", trials=2, seed=0, out="out", store="store")
SEARCHED: dict[str, Any] = {
    "study": "lr_sequence",
    "system": "classifier",
    "task": {},
    "pinned": {STUDY.dimensions[0].name: STUDY.points[0][STUDY.dimensions[0].name]},
    "metric": "val_accuracy",
    "mode": "max",
    "place": {"device": "cpu", "world_size": 1, "num_threads": 1},
    "root": "ab" * 32,
    "options": OPTIONS.plain(),
}
PLANNED: dict[str, Any] = {
    "kind": "matrix",
    "list": {"0000": spec(1e-3).schedule.plain()},
    "planned": {"0000": {"axis": "name"}},
}
mutated = settings(
    max_examples=200,
    derandomize=True,
    phases=(Phase.generate,),  # a file that fails is told as it is: shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def survives(folder: Path, use: Callable[[], object]) -> None:
    """Use what lies in `folder`; only `UserError` may come of it, and nothing may be run."""
    with watching(folder) as found:
        try:
            use()
        except UserError as error:
            assert str(error).strip(), "a refusal without a word"
    assert found == [], found
    assert not (folder / "PWNED").exists()


def plain_or_bytes(valid: Any, text: Callable[[Any], str]) -> st.SearchStrategy[bytes]:
    """Return a changed structure as a file, or the file with changed bytes."""
    changed = structures(valid).map(lambda data: text(data).encode(errors="replace"))
    return changed | bytes_of(text(valid).encode())


@pytest.fixture(scope="module", autouse=True)
def warm(results: Path) -> None:
    """Import what is imported when it is used: libraries make folders then."""
    use_schedule(ROOT / "docs/rescue.yaml")
    planned_runs(MatrixFile.read(ROOT / "docs/matrix.yaml"))
    resumed_search(str(results))
    choose(results, "best:1")


def use_schedule(path: Path) -> None:
    read = TrialSpec.read(str(path))
    assert TrialSpec.parse(yaml.safe_load(read.yaml())).schedule == read.schedule
    read.schedule.check(FACTS)


@mutated
@given(data=plain_or_bytes(SCHEDULE, yaml.safe_dump))
def test_a_changed_schedule(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "schedule.yaml"
    path.write_bytes(data)
    survives(tmp_path, lambda: use_schedule(path))


@mutated
@given(data=plain_or_bytes(MATRIX, yaml.safe_dump))
def test_a_changed_matrix(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_bytes(data)
    survives(tmp_path, lambda: planned_runs(MatrixFile.read(path)))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with one trial."""
    folder = tmp_path_factory.mktemp("search")
    write_search(folder, SEARCHED)
    rows = {
        name: Row(name, {"lr": 0.1}, "finished", "finished", 0.5, 0.5, "ab" * 32, folder=name)
        for name in ("0000", "0001")
    }
    Table("val_accuracy", "max", rows).write(folder)
    (folder / "0000").mkdir()
    (folder / "0000/schedule.yaml").write_text(spec(1e-3).yaml())
    return folder


def use_results(folder: Path) -> None:
    for use in (
        lambda: resumed_search(str(folder)),
        lambda: choose(folder, "best:1"),
        lambda: read_states(folder),
        lambda: [Row.from_plain(row, "val_accuracy") for row in read_search(folder)[1]],
    ):
        survives(folder, use)


@mutated
@given(data=plain_or_bytes(SEARCHED, json.dumps) | plain_or_bytes(SEARCHED | PLANNED, json.dumps))
def test_a_changed_search(data: bytes, results: Path) -> None:
    before = (results / "search.json").read_bytes()
    (results / "search.json").write_bytes(data)
    try:
        use_results(results)
    finally:
        (results / "search.json").write_bytes(before)


@mutated
@given(data=st.data())
def test_a_changed_table(data: st.DataObject, results: Path) -> None:
    before = (results / "trials.csv").read_bytes()
    (results / "trials.csv").write_bytes(data.draw(bytes_of(before)))
    try:
        use_results(results)
    finally:
        (results / "trials.csv").write_bytes(before)


def sealed(body: Any) -> bytes:
    """A record file whose checksum is right: its writer knows how to make one."""
    text = json.dumps(body, sort_keys=True).encode()
    return json.dumps({"sha256": hashlib.sha256(text).hexdigest(), "record": body}).encode()


@mutated
@given(data=structures(RECORD.plain()).map(sealed) | bytes_of(encode_record(RECORD)))
def test_a_changed_record(data: bytes, tmp_path: Path) -> None:
    Files(str(tmp_path)).write(f"ab/{RECORD.key}/record.json", data)
    store, found = Store(str(tmp_path)), list[Record | None]()
    survives(tmp_path, lambda: found.append(store.record(RECORD.key)))
    if found[0] is not None:  # it is one all the same: then it can be used as one
        assert found[0].device_s >= 0 and found[0].key == RECORD.key
        assert all(isinstance(value, float) for value in found[0].metrics.values())


STATE = {"models": {"w": torch.zeros(3)}, "optimizer": {}, "averaged": None}


@mutated
@given(data=st.data(), seal=st.booleans())
def test_a_changed_state(data: st.DataObject, seal: bool, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    path = tmp_path / f"ab/{RECORD.key}/state"
    whole = path.read_bytes()
    changed = data.draw(bytes_of(whole[64:]))
    path.write_bytes(
        (hashlib.sha256(changed).hexdigest().encode() if seal else whole[:64]) + changed
    )
    found: list[Any] = []
    survives(tmp_path, lambda: found.append(store.state(RECORD.key)))
    assert found[0] is None or isinstance(found[0], dict)
