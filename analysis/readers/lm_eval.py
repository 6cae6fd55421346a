"""Results of lm-evaluation-harness: a document for each checkpoint, all of one model a run.

The step is the revision in the model's arguments, or else the number in the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from analysis.readers.head import Head, load_document
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.text import clean, flat, number

_REVISION = re.compile(r"revision=\D*(\d+)")
_MODEL = re.compile(r"pretrained=([^,]+)")
_IN_NAME = re.compile(r"(?:step|checkpoint|iter)[-_]?(\d+)", re.IGNORECASE)


def _fits(head: Head) -> bool:
    return _is_result(head.document)


def _is_result(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("results"), dict):
        return False
    return bool(found["results"] and {"config", "configs", "versions"} & found.keys())


def _read(file: LogFile) -> Iterator[Row]:
    found = load_document(file.path)
    arguments = _arguments(found) if _is_result(found) else ""
    step = _REVISION.search(arguments) or _IN_NAME.search(file.path.name)
    if not arguments or step is None:
        file.problem = "an evaluation without a step in the model's arguments or the file's name"
        return
    model = _MODEL.search(arguments)
    leaves = ((name, number(leaf)) for name, leaf in flat(found["results"]))
    values = {name: value for name, value in leaves if value is not None}
    run = clean(model[1].rstrip("/").rpartition("/")[2]) if model else ""
    yield Row(float(step[1]), values, run=run)


def _arguments(found: dict[str, Any]) -> str:
    config = found.get("config")
    arguments = config.get("model_args") if isinstance(config, dict) else None
    if isinstance(arguments, dict):
        return ",".join(f"{name}={value}" for name, value in arguments.items())
    return str(arguments or "no arguments")


LM_EVAL = Reader("lm-eval", _fits, _read, family="lm-eval")
