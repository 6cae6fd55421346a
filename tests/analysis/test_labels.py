"""Labels from the names of runs, and from a table."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.labels import LabelError, from_pattern, from_table
from analysis.logs import LogError, read_logs
from tests.analysis.samples import read, write

RUNS = ["gen_a/BDD10k/SegFormer", "gen_a/IDD-AW/PSPNet", "other"]
LOG = "step,loss\n1,2\n"


def test_a_pattern_names_the_parts_of_a_path() -> None:
    assert from_pattern(RUNS, "{strategy}/{dataset}/{model}") == {
        "strategy": {RUNS[0]: "gen_a", RUNS[1]: "gen_a"},
        "dataset": {RUNS[0]: "BDD10k", RUNS[1]: "IDD-AW"},
        "model": {RUNS[0]: "SegFormer", RUNS[1]: "PSPNet"},
    }


@pytest.mark.parametrize(
    ("run", "pattern", "expected"),
    [
        ("a/b/c/d", "{x}/{y}", {"x": "a", "y": "b"}),
        ("a/b", "*/{y}", {"y": "b"}),
        ("lr0.1_wd3", "lr{lr}_wd{wd}", {"lr": "0.1", "wd": "3"}),
        ("a.b/c", "{x}/", {"x": "a.b"}),
        ("exp-1/seed3", "exp-{n}/seed{seed}", {"n": "1", "seed": "3"}),
    ],
)
def test_a_pattern_may_have_fixed_text(run: str, pattern: str, expected: dict[str, str]) -> None:
    found = from_pattern([run], pattern)
    assert {name: values[run] for name, values in found.items()} == expected


PART = st.text("abc.-+_", min_size=1, max_size=5)


@given(parts=st.lists(PART, min_size=1, max_size=4))
def test_a_pattern_of_all_parts_gives_them_back(parts: list[str]) -> None:
    run = "/".join(parts)
    found = from_pattern([run], "/".join(f"{{p{place}}}" for place in range(len(parts))))
    assert [values[run] for values in found.values()] == parts


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{a}/{b}/{c}/{d}", "fits none of the 3 runs, such as 'gen_a/BDD10k/SegFormer'"),
        ("strategy", "needs names in braces"),
        ("{a}/{a}", "each once"),
        ("{}/{b}", "needs names in braces"),
        ("{a}/{b", "a brace without its other half"),
    ],
)
def test_a_pattern_that_is_wrong_says_so(pattern: str, message: str) -> None:
    with pytest.raises(LabelError, match="labels '") as error:
        from_pattern(RUNS, pattern)
    assert message in str(error.value)


def table(folder: Path, text: str) -> Path:
    return write(folder, {"table.csv": text}) / "table.csv"


def test_a_table_names_runs_in_full_or_by_the_end_of_their_path(tmp_path: Path) -> None:
    text = "run,weather\ngen_a/BDD10k/SegFormer,fog\nPSPNet, rain\n"
    assert from_table(RUNS, table(tmp_path, text)) == {"weather": {RUNS[0]: "fog", RUNS[1]: "rain"}}


def test_the_end_of_two_paths_names_neither(tmp_path: Path) -> None:
    found = from_table(["a/x", "b/x", "c"], table(tmp_path, "run,y\nx,1\nc,2\n"))
    assert found == {"y": {"c": "2"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,x\na,b\n", "needs a column `run`"),
        ("run\na\n", "needs a column `run` and one for each label"),
        ("", "needs a column `run`"),
        ("run,x\nnobody,1\n", "names none of the 3 runs"),
    ],
)
def test_a_table_that_is_wrong_says_so(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=r"table\.csv: ") as error:
        from_table(RUNS, table(tmp_path, text))
    assert message in str(error.value)


def test_labels_are_columns_of_the_runs(tmp_path: Path) -> None:
    files = {"gen_a/bdd/m1.csv": LOG, "gen_b/bdd/m2.csv": LOG, "alone.csv": LOG}
    logs = read(tmp_path, files, labels="{strategy}/{dataset}/{model}")
    assert list(logs.runs["label:strategy"]) == ["", "gen_a", "gen_b"]
    assert "1 of 3 runs have no label strategy." in logs.notes


def test_a_table_goes_before_a_pattern(tmp_path: Path) -> None:
    folder = write(tmp_path / "logs", {"a/m.csv": LOG, "b/m.csv": LOG})
    path = table(tmp_path, "run,x,y\na/m,special,1\n")
    runs = read_logs([folder], labels="{x}/*", table=path).runs
    assert (list(runs["label:x"]), list(runs["label:y"])) == (["special", "b"], ["1", ""])


@pytest.mark.parametrize("options", [{"labels": "{a}/{b}"}, {"table": Path("nothing.csv")}])
def test_wrong_labels_are_one_line_of_the_user(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(LogError):
        read(tmp_path, {"a.csv": LOG}, **options)
