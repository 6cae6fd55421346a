"""Passwords in URLs: given once, written nowhere."""

import json
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from ray import tune
from typer.main import get_command

from search_spaces.lr_sequence import STUDY
from tests.thaw.helpers import Thaw
from thaw.cli import app
from thaw.mirror import folder_of
from thaw.options import Options
from thaw.results import read_search, write_search
from thaw.sampling import STORAGE, open_study
from trainables.pool import Workers
from trainables.slot import Slot
from training.errors import UserError
from training.files import Files
from training.hidden import hidden, hidden_in, hidden_urls, whole

SECRET = "hunter2"
URLS = {
    "postgresql+psycopg://user:hunter2@db:5432/thaw": "postgresql+psycopg://user:***@db:5432/thaw",
    "mysql://user:hunter2@host/db?ssl=1&password=hunter2": "mysql://user:***@host/db?ssl=1&password=***",
    "s3://KEY:hunter2@bucket/store?region=x": "s3://KEY:***@bucket/store?region=x",
    "https://host/x?api_key=hunter2&a=b": "https://host/x?api_key=***&a=b",
    "postgresql://host:5432/db": "postgresql://host:5432/db",
    "sqlite:////home/me@work/optuna.db": "sqlite:////home/me@work/optuna.db",
    "results/store": "results/store",
}


@pytest.mark.parametrize(("url", "shown"), URLS.items())
def test_what_is_shown_has_no_secret(url: str, shown: str) -> None:
    assert hidden(url) == shown
    assert SECRET not in hidden_in(f"cannot reach {url} with {SECRET}", url) or SECRET not in url
    assert hidden(shown) == shown


def test_search_json_holds_no_password(tmp_path: Path) -> None:
    url, _, other, *_ = URLS
    options = Options(study="s", trials=1, seed=0, out="o", store=other, storage=url)
    write_search(tmp_path, {"metric": "m", "mode": "max", "options": options.plain()})
    (tmp_path / "trials.csv").write_text("trial\n")
    assert SECRET not in (tmp_path / "search.json").read_text()
    assert read_search(tmp_path)[0]["options"]["storage"] == URLS[url]
    assert Options.read(json.loads(json.dumps(options.plain())), "x").store == URLS[other]


def test_who_goes_on_gives_the_password_again(monkeypatch: pytest.MonkeyPatch) -> None:
    url = next(iter(URLS))
    with pytest.raises(UserError, match=r"set THAW_STORAGE to the whole URL"):
        whole(URLS[url], "THAW_STORAGE", "--storage")
    monkeypatch.setenv("THAW_STORAGE", "postgresql://user:hunter2@elsewhere/thaw")
    with pytest.raises(UserError, match=r"set THAW_STORAGE to the whole URL"):
        whole(URLS[url], "THAW_STORAGE", "--storage")
    monkeypatch.setenv("THAW_STORAGE", url)
    assert whole(URLS[url], "THAW_STORAGE", "--storage") == url
    assert whole("sqlite:///x.db", "THAW_STORAGE", "--storage") == "sqlite:///x.db"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_what_tune_pickles_into_the_results_holds_no_password() -> None:
    """It writes the trainable there; its parameters are in Ray's object store."""
    workers = Workers(store=f"s3://KEY:{SECRET}@bucket/store")
    assert SECRET.encode() not in cloudpickle.dumps(tune.with_parameters(Slot, workers=workers))


def test_a_storage_with_a_password_need_not_stand_on_the_command_line() -> None:
    search: Any = get_command(app).commands["search"]  # type: ignore[attr-defined]
    assert {p.name: p.envvar for p in search.params}["storage"] == STORAGE


@pytest.mark.parametrize("url", ["gopher://user:hunter2@x/y", "s3://KEY:hunter2@x y/z"])
def test_an_error_of_a_store_tells_no_password(url: str) -> None:
    with pytest.raises(UserError) as caught:
        Files(url)
    assert SECRET not in str(caught.value) and "***" in str(caught.value)


@pytest.mark.parametrize("url", ["nosuch://user:hunter2@host/db", "postgresql+no://u:hunter2@h/d"])
def test_an_error_of_a_storage_tells_no_password(url: str) -> None:
    with pytest.raises(UserError, match="--storage: cannot be opened") as caught:
        open_study(STUDY, {}, url, resume=False)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", URLS)
def test_a_line_that_is_told_has_no_secret(url: str) -> None:
    line = f"unexpected argument '{url}': see a@b or http://host:8265/x"
    assert SECRET not in hidden_urls(line)
    assert hidden_urls(line).endswith("see a@b or http://host:8265/x")


@pytest.mark.parametrize(
    "arguments",
    [
        ("store", "show", "file:///nowhere?secret_token=hunter2"),
        ("store", "show", "results/store", "s3://KEY:hunter2@bucket/store"),
        ("train", "unfreeze_timing", "--out", "s3://KEY:hunter2@bucket/out"),
        (
            *("submit", "unfreeze_timing", "--address", "http://nowhere.invalid"),
            *("--out", "s3://KEY:hunter2@bucket/out", "--store", "s3://bucket/store"),
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_bad_input_is_told_without_its_secret(arguments: tuple[str, ...], thaw: Thaw) -> None:
    assert SECRET not in thaw.refused(*arguments)


def test_a_url_that_is_no_folder_is_told_without_its_secret() -> None:
    with pytest.raises(UserError) as caught:
        folder_of("s3://KEY:hunter2@bucket/out")
    assert SECRET not in str(caught.value)
