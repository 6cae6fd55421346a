"""The tidy table of points, built from the curves of one run after another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.part import Curve

COLUMNS = ("run", "step", "epoch", "wall_s", "metric", "value")


class Points:
    """Collects curves, and makes one table of all of them in the end."""

    def __init__(self) -> None:
        """Start without any curve."""
        self._curves: list[tuple[str, str, Curve]] = []

    def add(self, run: str, curves: Mapping[str, Curve]) -> None:
        """Take in the curves of a run, by metric, each sorted by step."""
        self._curves += [(run, metric, curve) for metric, curve in curves.items()]

    def frame(self) -> pd.DataFrame:
        """Return all points, sorted by run, metric and step; nothing may be added after it."""
        self._curves.sort(key=lambda entry: entry[:2])
        lengths = np.array([len(curve.step) for _, _, curve in self._curves], dtype=np.int64)
        data = {
            "run": _categories([run for run, _, _ in self._curves], lengths),
            "step": self._column("step"),
            "epoch": self._column("epoch"),
            "wall_s": self._column("wall_s"),
            "metric": _categories([metric for _, metric, _ in self._curves], lengths),
            "value": self._column("value"),
        }
        self._curves.clear()
        return pd.DataFrame(data, columns=list(COLUMNS), copy=False)

    def _column(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        columns = [getattr(curve, name) for _, _, curve in self._curves]
        return np.concatenate(columns) if columns else np.zeros(0)


def _categories(
    names: list[str], lengths: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> pd.Categorical[str]:
    categories = sorted(set(names))
    places = {name: place for place, name in enumerate(categories)}
    codes = np.repeat(np.array([places[name] for name in names], dtype=np.int32), lengths)
    return pd.Categorical.from_codes(codes, categories=pd.Index(categories))
