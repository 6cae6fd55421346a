"""Bad input: a line that says what is wrong, a count, or a marked value; never a traceback."""

import json
import re
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event

from analysis.logs import LogError, read_logs
from analysis.readers import READERS, reader_of
from analysis.readers.head import Head
from analysis.readers.reader import LogFile
from tests.analysis.samples import SAMPLES, Sample, curves, jsonl, read, records, runs

GOOD = "step,loss\n1,2\n2,1\n"


def reason(folder: Path, name: str, data: str | bytes) -> str:
    """Return why a file beside a good log is not used."""
    logs = read(folder, {"good.csv": GOOD, name: data})
    assert runs(logs) == ["good"], "the bad file gave a run"
    (file,) = logs.unused
    assert file.file == name
    return file.reason


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", "empty"),
        ("\n \n\n", "only blank lines"),
        (b"\x00\x01\x02\x03", "binary data"),
        (b"\x89PNG\r\n\x1a\n\x00", "a picture"),
        (b"\x80\x04\x95\x00", "a pickle, which is never loaded"),
        (b"SQLite format 3\x00", "an SQLite database"),
        (b"PK\x03\x04\x00", "a zip archive, such as a checkpoint"),
        ("step,loss\n1,2\n".encode("utf-16"), "binary data"),
        ("Hello, world\nthis is, a text\n", "a table without a column of steps or epochs"),
        ("a,b\n1,2\n", "a table without a column of steps or epochs"),
        ("step,loss\n", "a table without rows"),
        ("just a word\n", "text that is no log we know"),
        ('{"a": 1}', "JSON that is no log"),
        ('{"log_history": [{"step": 1,', "JSON that is cut off or damaged"),
        ("[" * 100_000, "JSON that is cut off or damaged"),
        ('{"a": 1}\n{"a": 2}\n', "JSON lines without steps or epochs"),
        ('{"log_history": []}', "hugging face without a value"),
        ("step,loss\n1,\n2,\n", "csv without a value"),
        ("step,loss\n1,x\n2,y\n", "csv without a value"),
        ('{"results": {"a": {"acc": 1}}, "config": {}}', "an evaluation without a step"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, data: str | bytes, expected: str
) -> None:
    assert reason(tmp_path, "bad.x", data).startswith(expected)


def test_a_table_whose_first_row_has_an_endless_cell_is_named(tmp_path: Path) -> None:
    data = f"step,loss\n1,{'9' * 200_000}\n"
    assert reason(tmp_path, "bad.csv", data).startswith("a table without")


def test_an_endless_cell_costs_its_row_only(tmp_path: Path) -> None:
    logs = read(tmp_path, {"log": f"step,note,loss\n1,{'x' * 200_000},3\n2,a,2\n3,b,1\n"})
    assert (curves(logs), logs.runs["broken_lines"].item()) == ({"loss": [(2, 2), (3, 1)]}, 1)


def test_an_event_file_of_88_bytes_is_named(tmp_path: Path) -> None:
    data = records(Event(wall_time=1.7e9, file_version="brain.Event:2"))
    data += records(Event(wall_time=1.7e9 + 1))
    assert reason(tmp_path, "events.out.tfevents.1", data) == "tensorboard without a value"


@pytest.mark.parametrize("files", [{}, {"README.md": "hello\n"}, {"a.csv": ""}])
def test_no_log_at_all_is_one_line(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(LogError) as error:
        read(tmp_path, files)
    assert str(error.value).startswith(f"{tmp_path}: no ")
    assert "\n" not in str(error.value)


def test_a_path_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="nothing: no such file or folder"):
        read_logs([tmp_path / "nothing"])


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    folder = Sample("", "", GOOD, {}).write(tmp_path / "closed" / "a.csv").parent
    Sample("", "", GOOD, {}).write(tmp_path / "good.csv")
    folder.chmod(0)
    try:
        if stat.S_IMODE(folder.stat().st_mode) == 0 and _can_list(folder):
            pytest.skip("this user may read everything")
        (file,) = read_logs([tmp_path]).unused
    finally:
        folder.chmod(0o755)
    assert file.file == "closed" and "cannot be read" in file.reason


def _can_list(folder: Path) -> bool:
    try:
        return bool(list(folder.iterdir()))
    except PermissionError:
        return False


@pytest.mark.parametrize(
    ("text", "num_broken", "first"),
    [
        ("step,loss\n1,2\n2,1,9,9\n3,1\n", 1, 3),
        ("step,loss\n1,2\n2\n3,1\n", 1, 3),
        ("step,loss\n1,2\nx,1\n3,1\n", 1, 3),
        ("step,loss\n1,2\n2,x\n3,1\n", 1, 3),
        ("step,loss\n1,2\nnan,3\n3,1\n", 1, 3),
        ('step,loss\n1,2\n"2,1\n3,1\n', 2, 3),
        (jsonl({"step": 1, "loss": 2}) + "{oops\n[1]\n\n" + jsonl({"step": 3, "loss": 1}), 2, 2),
    ],
)
def test_broken_lines_are_counted(tmp_path: Path, text: str, num_broken: int, first: int) -> None:
    logs = read(tmp_path, {"log": text})
    assert sum(logs.runs["broken_lines"]) == num_broken
    assert any(re.search(rf"from line {first} on", note) for note in logs.notes), logs.notes


def test_what_is_left_of_a_broken_log_is_read(tmp_path: Path) -> None:
    text = "step,loss,acc\n1,2.0,0.1\n2,oops,0.2\n3,1.0\n4,0.5,0.4\n"
    assert curves(read(tmp_path, {"log": text})) == {
        "loss": [(1, 2.0), (4, 0.5)],
        "acc": [(1, 0.1), (2, 0.2), (4, 0.4)],
    }


def test_a_first_cell_that_is_broken_does_not_cost_its_column(tmp_path: Path) -> None:
    text = "step,loss\n1,oops\n2,1.5\n3,1.0\n"
    assert curves(read(tmp_path, {"log": text})) == {"loss": [(2, 1.5), (3, 1.0)]}


def test_a_header_that_comes_again_is_no_broken_line(tmp_path: Path) -> None:
    logs = read(tmp_path, {"log": GOOD + GOOD})
    assert logs.runs["broken_lines"].item() == 0
    assert logs.runs["merged_points"].item() == 2


def test_a_line_without_an_end_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    text = jsonl({"step": 1, "loss": 2}) + "x" * 2**24 + "\n" + jsonl({"step": 2, "loss": 1})
    logs = read(tmp_path, {"log": text})
    assert curves(logs) == {"loss": [(1, 2), (2, 1)]}
    assert logs.runs["broken_lines"].item() == 1


def test_an_event_file_that_ends_within_a_record_is_read_up_to_it(tmp_path: Path) -> None:
    sample = next(sample for sample in SAMPLES if sample.kind == "tensorboard")
    assert isinstance(sample.data, bytes)
    logs = read(tmp_path, {"events": sample.data[:-3]})
    assert curves(logs) == {"val/acc": [(1, 0.5)]}
    assert logs.runs["broken_lines"].item() == 1


def test_a_damaged_event_is_left_out(tmp_path: Path) -> None:
    sample = next(sample for sample in SAMPLES if sample.kind == "tensorboard")
    assert isinstance(sample.data, bytes)
    place = sample.data.index(b"val/acc") + len(b"val/acc") + 4
    data = sample.data[:place] + b"\x07" + sample.data[place + 1 :]
    logs = read(tmp_path, {"events": data})
    assert curves(logs) == {"val/acc": [(2, 0.75)]}
    assert logs.runs["broken_lines"].item() == 1


def test_names_are_shown_in_characters_that_can_be_printed(tmp_path: Path) -> None:
    text = '{"step": 1, "lo\\nss\\ud800": 2}\n'
    logs = read(tmp_path, {"a\tb.jsonl": text})
    assert runs(logs) == ["a\ufffdb"]
    assert list(curves(logs)) == ["lo\ufffdss\ufffd"]


def test_a_name_that_is_html_stays_as_it_is(tmp_path: Path) -> None:
    logs = read(tmp_path, {"<b>x<b>.csv": "step,<script>\n1,2\n"})
    assert (runs(logs), list(curves(logs))) == (["<b>x<b>"], ["<script>"])


def consumed(path: Path) -> None:
    """Read a file with every reader that takes it."""
    head = Head.of(path)
    reader = reader_of(head)
    if reader is None:
        assert head.why_unknown()
    else:
        for row in reader.read(LogFile(path, path)):  # type: ignore[arg-type]
            assert row.step == row.step


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A log of some format with pieces cut out, doubled, or overwritten."""
    sample = draw(st.sampled_from(SAMPLES))
    data = sample.data if isinstance(sample.data, bytes) else sample.data.encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 60)))
        piece = draw(
            st.one_of(
                st.binary(max_size=8),
                st.just(data[start:end] * 2),
                st.sampled_from([b"", b"\n", b",", b'"', b"{", b"null", b"NaN", b"-1", b"1e999"]),
            )
        )
        data = data[:start] + piece + data[end:]
    return data


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=damaged())
def test_a_damaged_log_never_raises(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "log").write_bytes(data)
    consumed(tmp_path / "log")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_a_file_of_anything_never_raises(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "log").write_bytes(data)
    consumed(tmp_path / "log")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["step", "epoch", "iter", "mode", "loss", "config", "log_history", "results"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(JSON, min_size=1, max_size=4), document=st.booleans())
def test_json_of_any_shape_never_raises(
    tmp_path: Path, items: list[object], document: bool
) -> None:
    text = json.dumps(items) if document else "".join(json.dumps(i) + "\n" for i in items)
    (tmp_path / "log").write_text(text)
    consumed(tmp_path / "log")


def test_values_and_steps_beyond_all_measure_do_not_count(tmp_path: Path) -> None:
    text = "step,acc\n1,0.5\n2,1e308\n1e300,0.7\n3,-1e101\n4,0.6\n"
    logs = read(tmp_path, {"log": text})
    values = logs.points.set_index("step")["value"]
    assert values.dropna().to_dict() == {1: 0.5, 4: 0.6}
    assert logs.runs["broken_lines"].item() == 1
    assert any("2 values are not finite, or beyond 1e100" in note for note in logs.notes)


def test_every_reader_takes_part_in_these_tests() -> None:
    assert {sample.kind for sample in SAMPLES} | {"lcdb"} == {reader.kind for reader in READERS}


def test_a_log_of_nothing_but_unmeasured_values_is_named(tmp_path: Path) -> None:
    assert reason(tmp_path, "bad.csv", "step,bbox_mAP\n1,-1\n") == "no value was measured"


def test_lines_before_the_header_may_be_blank_or_comments(tmp_path: Path) -> None:
    logs = read(tmp_path, {"log": "  \n# made by hand\nstep,loss\n\n1,2\n"})
    assert curves(logs) == {"loss": [(1, 2)]}


def test_a_rare_line_separator_in_a_header_is_none(tmp_path: Path) -> None:
    logs = read(tmp_path, {"x.csv": "step,metric,value\x1cx\n1,loss,2\n"})
    assert curves(logs) == {"value\ufffdx": [(1, 2)]}
