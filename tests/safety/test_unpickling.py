"""Nothing of the product unpickles: read off its source, file by file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for package in ("analysis", "search_spaces", "thaw", "trainables", "training")
    for path in (ROOT / package).rglob("*.py")
)
ALLOWED = {"thaw/cmaes_sampler.py": {"pickle.Unpickler", "pickle.UnpicklingError"}}
"""The one reader of a pickle, which makes nothing but arrays and CMA-ES."""
FORBIDDEN = ("pickle.", "cloudpickle.", "dill.", "joblib.", "marshal.", "shelve.")
CALLS = ("yaml.load", "yaml.full_load", "yaml.unsafe_load", "pd.read_pickle", "torch.jit.load")


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def findings(source: str) -> set[str]:
    """What in `source` reads a pickle, or might."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        name = dotted(node) if isinstance(node, ast.Attribute) else ""
        if name.startswith(FORBIDDEN):
            found.add(name)
        if isinstance(node, ast.ImportFrom) and node.module in {n.rstrip(".") for n in FORBIDDEN}:
            found |= {f"{node.module}.{a.name}" for a in node.names if a.name != "UnpicklingError"}
        if isinstance(node, ast.Call):
            called, given = dotted(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called in CALLS or (called == "torch.load" and given.get("weights_only") != "True"):
                found.add(called)
            if called == "np.load" and given.get("allow_pickle", "False") != "False":
                found.add(called)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_unpickles(path: Path) -> None:
    allowed = ALLOWED.get(str(path.relative_to(ROOT)), set())
    assert findings(path.read_text(encoding="utf-8")) - allowed == set()


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')",
        "from pickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
    ],
)
def test_what_unpickles_would_be_found(source: str) -> None:
    assert findings(source)
