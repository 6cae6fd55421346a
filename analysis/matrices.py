"""What a matrix of runs says of its runs in `search.json`: their labels, and which are planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analysis.labels import Labels
from analysis.parameters import Facts
from analysis.readers.head import load_document
from analysis.sources import Other

Planned = dict[str, dict[str, str]]
"""Run -> label -> value."""


def matrices(others: Iterable[Other], known: Mapping[str, Facts]) -> tuple[Labels, Planned]:
    """Return the labels of the known runs of all matrices, and all of the runs that they planned.

    A label is no hyperparameter: it is taken out of those of its run.
    """
    labels: Labels = {}
    planned: Planned = {}
    for other in others:
        document = load_document(other.found.path) if other.role == "search" else None
        if not isinstance(document, dict) or not isinstance(document.get("planned"), dict):
            continue
        folder = other.found.name.parent
        runs = {facts.folder: name for name, facts in known.items()}
        for name, values in document["planned"].items():
            run = runs.get(folder / name, str(folder / name))
            planned[run] = {str(label): str(value) for label, value in dict(values).items()}
            if run in known:
                for label, value in planned[run].items():
                    known[run].params.pop(label, None)
                    labels.setdefault(label, {})[run] = value
    return labels, planned
