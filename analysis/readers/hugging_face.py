"""Hugging Face's `trainer_state.json`: one document with a `log_history`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.readers.head import Head, load_document
from analysis.readers.objects import axes_of, parameters, rows_of
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.text import number

_PARAMS = frozenset({"train_batch_size", "num_train_epochs", "max_steps"})


def _fits(head: Head) -> bool:
    return _is_state(head.document)


def _is_state(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("log_history"), list)


def _read(file: LogFile) -> Iterator[Row]:
    state = load_document(file.path)
    if not _is_state(state):
        file.problem = "JSON that is cut off or damaged"
        return iter(())
    history = [item for item in state["log_history"] if isinstance(item, dict)]
    if missing := len(state["log_history"]) - len(history):
        file.broken(1, missing)
    file.params.update({k: v for k, v in parameters(state).items() if k in _PARAMS})
    done, planned = number(state.get("global_step")), number(state.get("max_steps"))
    if done and planned and done >= planned:
        file.status = "finished"
    return rows_of(file, enumerate(history, 1), axes_of(history))


HUGGING_FACE = Reader("hugging face", _fits, _read, family="hugging face")
