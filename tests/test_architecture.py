"""The shape of the project: which package may import what, how long a file is, how fast the CLI."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400

# package -> the packages of the project it may import besides itself
ARROWS: dict[str, set[str]] = {
    "training": set(),
    "analysis": set(),
    "trainables": {"training"},
    "search_spaces": {"training", "trainables"},
    "thaw": {"training", "trainables", "search_spaces", "analysis"},
}
PROJECT = {*ARROWS, "benchmarks", "tests"}
# library -> the packages that may import it; a library that is not here is free
LIBRARIES: dict[str, set[str]] = {
    "ray": {"trainables", "thaw"},
    "optuna": {"search_spaces", "thaw"},
    "torch": set(ARROWS) - {"analysis"},
    "torchvision": set(ARROWS) - {"analysis"},
    "torchmetrics": set(ARROWS) - {"analysis"},
    "timm": set(ARROWS) - {"analysis"},
}


def imported_modules(source: str) -> Iterator[str]:
    """The absolute modules that `source` imports, wherever in it; relative imports stay inside."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module


def wrong_arrows(package: str, source: str) -> list[str]:
    """The imports in `source`, a file of `package`, that the architecture does not allow."""
    wrong = []
    for module in imported_modules(source):
        top = module.partition(".")[0]
        outside = top in PROJECT and top != package and top not in ARROWS[package]
        if outside or package not in LIBRARIES.get(top, {package}):
            wrong.append(f"{package} must not import {module}")
    return wrong


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", ARROWS)
def test_arrows_point_one_way(package: str) -> None:
    files = source_files(package)
    assert files, f"{package}/ has no Python file"
    wrong = [
        f"{path.relative_to(ROOT)}: {arrow}"
        for path in files
        for arrow in wrong_arrows(package, path.read_text())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("training", "import trainables"),
        ("training", "from thaw.searcher import Searcher"),
        ("training", "def load():\n    import ray.train"),
        ("training", "import numpy, optuna"),
        ("training", "import importlib\nimportlib.import_module('ray.tune')"),
        ("training", "import tests.helpers"),
        ("analysis", "import training.schedule"),
        ("analysis", "from torch import nn"),
        ("trainables", "import search_spaces"),
        ("trainables", "import optuna"),
        ("search_spaces", "from ray import tune"),
        ("search_spaces", "import analysis"),
        ("thaw", "from benchmarks import warm_slots"),
    ],
)
def test_a_wrong_arrow_is_found(package: str, source: str) -> None:
    assert len(wrong_arrows(package, source)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("training", "import torch\nfrom . import curves\nfrom training.keys import key"),
        ("analysis", "import pandas\nimport raystation"),
        ("trainables", "import ray.tune\nimport training"),
        ("search_spaces", "import optuna\nimport torch\nimport trainables.classifier"),
        ("thaw", "import ray, optuna, torch, analysis, search_spaces, trainables, training"),
    ],
)
def test_a_right_arrow_passes(package: str, source: str) -> None:
    assert wrong_arrows(package, source) == []


def test_no_file_is_two_ideas() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in (*ARROWS, "benchmarks")
        for path in source_files(package)
    }
    too_long = {name: length for name, length in lengths.items() if length > MAX_LINES}
    assert not too_long, f"longer than {MAX_LINES} lines: {too_long}"


def imported_with(statement: str, heavy: tuple[str, ...]) -> list[str]:
    """Those of `heavy` that a fresh process has imported after `statement`."""
    code = f"import sys; {statement}; print(*[m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_the_command_line_starts_light() -> None:
    heavy = ("torch", "ray", "optuna", "pandas", "pyarrow")
    assert imported_with("import thaw.cli", heavy) == []


def test_slots_mailboxes_and_the_store_need_no_torch() -> None:
    # there is one of each beside every worker, and it is started anew when a node is lost
    assert imported_with("import trainables.slot, thaw.store_commands", ("torch",)) == []
