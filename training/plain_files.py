"""YAML and JSON from files that anyone may have written: plain data, or one line that says why not.

Nothing in such a file is ever run: YAML is read by PyYAML's safe loader.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from training.errors import UserError


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds; raise `UserError` that names the file where it is none."""
    text = _text(path, "YAML")
    try:
        return yaml.safe_load(text)
    except Exception as error:  # the makers of dates and numbers fail in any way
        raise UserError(f"{path}: no YAML ({_line(error)})") from None


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; raise `UserError` that names the file where it is none."""
    text = _text(path, "JSON")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON ({_line(error)})") from None


def _text(path: Path, kind: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: no {kind} ({_line(error)})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
