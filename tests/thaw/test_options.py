"""How a search is run, as `search.json` keeps it."""

from pathlib import Path

import pytest

from thaw.options import Options


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("sqlite:///x.db", "sqlite:///{here}/x.db"),
        ("sqlite:///a/x.db?timeout=9", "sqlite:///{here}/a/x.db?timeout=9"),
        ("sqlite:////a/x.db", "sqlite:////a/x.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///file:x.db?uri=true", "sqlite:///file:x.db?uri=true"),
        ("postgresql://host/thaw", "postgresql://host/thaw"),
    ],
)
def test_a_storage_is_found_from_anywhere(
    given: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = Options(study="s", trials=1, seed=0, out="o", store="s", storage=given)
    assert options.plain()["storage"] == kept.format(here=tmp_path)
