"""Readers of training logs: a format is one file here and one line in `READERS`."""

from __future__ import annotations

from analysis.readers.algoperf import ALGOPERF
from analysis.readers.events import EVENTS
from analysis.readers.head import Head
from analysis.readers.hugging_face import HUGGING_FACE
from analysis.readers.json_document import JSON_DOCUMENT
from analysis.readers.lcdb import LCDB
from analysis.readers.lightning import LIGHTNING
from analysis.readers.lm_eval import LM_EVAL
from analysis.readers.mm_json import MM_JSON
from analysis.readers.mm_text import MM_TEXT
from analysis.readers.plain import CSV, JSONL
from analysis.readers.reader import Reader
from analysis.readers.thaw_results import THAW
from analysis.readers.tidy import TIDY
from analysis.readers.timm_summary import TIMM
from analysis.readers.tune import CSV as TUNE_CSV
from analysis.readers.tune import JSON as TUNE_JSON

READERS: tuple[Reader, ...] = (
    THAW,
    TUNE_JSON,
    TUNE_CSV,
    MM_JSON,
    MM_TEXT,
    HUGGING_FACE,
    LM_EVAL,
    LCDB,
    LIGHTNING,
    TIMM,
    ALGOPERF,
    TIDY,
    CSV,
    JSONL,
    JSON_DOCUMENT,
    EVENTS,
)
"""The first that fits reads a file; of two logs of one run, the one further up is preferred."""


def reader_of(head: Head) -> Reader | None:
    """Return the reader of a file, None where its content is nothing we know."""
    return next((reader for reader in READERS if reader.fits(head)), None)
