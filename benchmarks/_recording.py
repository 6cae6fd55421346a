"""Outcomes of real segments in a file: a landscape to search on, which takes no training.

A segment is named by what the study varies, not by its key: a later version of the core that adds a
setting finds the same landscape. What is not in the file is trained.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.keys import Step

FOLDER = Path(__file__).parent / "recorded"
_DIGITS = 12
"""Hexadecimal digits of a name: 48 bits for some thousand segments."""

Metrics = dict[str, float]


class Recording:
    """The metrics that decisions look at, of each segment of one study and task."""

    def __init__(self, name: str) -> None:
        """Read the recording of a study; an empty one where there is none."""
        self._path = FOLDER / f"{name}.json.gz"
        self._known: dict[str, Metrics] = {}
        if self._path.exists():
            loaded = json.loads(gzip.decompress(self._path.read_bytes()))
            names, rows = loaded["metrics"], loaded["segments"]
            self._known = {key: dict(zip(names, row, strict=True)) for key, row in rows.items()}

    def metrics(self, path: Sequence[Step]) -> Metrics | None:
        """Return the metrics after the last segment of `path`, or None where it is not there."""
        return self._known.get(name_of(path))

    def write(self, found: Mapping[str, Metrics]) -> None:
        """Write `found`, name -> metrics, which all have the same names, and forget all others."""
        names = list(next(iter(found.values())))
        rows = {key: [found[key][name] for name in names] for key in sorted(found)}
        text = json.dumps({"metrics": names, "segments": rows})
        FOLDER.mkdir(exist_ok=True)
        self._path.write_bytes(gzip.compress(text.encode(), mtime=0))


def name_of(path: Sequence[Step]) -> str:
    """Return the name of the last segment of `path`."""
    made_by = (step.settings for step in path)
    varied = [(s.data, s.lrs, s.multipliers, s.batchnorm) for s in made_by]
    return hashlib.sha256(repr(varied).encode()).hexdigest()[:_DIGITS]
