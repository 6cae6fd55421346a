"""The log of a search: one JSON object a line, whatever is logged, and no secret in it."""

import json
import logging
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw.search_log import LOG, log, search_log


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / LOG).read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_an_event_is_an_object_with_its_fields(tmp_path: Path) -> None:
    with search_log(tmp_path):
        log("segment", trial="0003", segment=2, loss=math.nan, reused=True, place=Path("a"))
    (line,) = lines(tmp_path)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "info",
        "event": "segment",
        "trial": "0003",
        "segment": 2,
        "loss": None,
        "reused": True,
        "place": "a",
    }


def test_warnings_of_any_module_are_in_it_and_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with search_log(tmp_path):
        logging.getLogger("thaw.store").warning("store %s fails", "x")
    (line,) = lines(tmp_path)
    assert (line["level"], line["from"], line["event"]) == (
        "warning",
        "thaw.store",
        "store x fails",
    )
    assert "store x fails" in capsys.readouterr().err


def test_it_is_appended_to_and_ends_with_its_block(tmp_path: Path) -> None:
    for event in ("one", "two"):
        with search_log(tmp_path):
            log(event)
        log("nobody listens")
    assert [line["event"] for line in lines(tmp_path)] == ["one", "two"]


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"event": "one"}\n{"eve', encoding="utf-8")
    with search_log(tmp_path):
        log("three")
    first, _, third = (tmp_path / LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in (first, third)] == ["one", "three"]


def test_no_secret_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush-hush")
    monkeypatch.setenv("my_db_password", "open-sesame")
    with search_log(tmp_path):
        log("asked with hush-hush-hush", trial="open-sesame", at="https://me:pw@host/x")
        try:
            raise ValueError("open-sesame is wrong")
        except ValueError:
            logging.getLogger("thaw.x").exception("failed")
    text = (tmp_path / LOG).read_text()
    assert "hush" not in text and "sesame" not in text and ":pw@" not in text
    first, second = lines(tmp_path)
    assert (first["trial"], first["at"]) == ("***", "https://***@host/x")
    assert second["error"] == "*** is wrong"


@given(event=st.text(), value=st.text() | st.floats() | st.integers() | st.none() | st.booleans())
def test_anything_that_is_logged_is_one_line_of_json(
    event: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    with search_log(folder):
        log(event.replace("%", ""), value=value)
    text = (folder / LOG).read_bytes().decode()
    assert text.count("\n") == 1
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
