"""Scores of forecasts of real training curves: how far off the forecast is, in its own scale.

Measured by this project on 127 curves in public training logs of 10 data sets, with `python -m
benchmarks.forecast --logs LOGS --table`: LCDB 1.1 (CC BY 4.0; two data sets, 55 learners), AlgoPerf
(fastMRI, LibriSpeech), MMEngine and MMSegmentation runs, Twins, lane segmentation, YOLOv8, Pythia's
zero-shot tasks, and losses of language models under several LR schedules. Each is a back-test of a
curve's last value; a row for each of 20 evenly spaced levels (0.025, 0.075, ...) and a column for
each of `conformal.RATIOS`. A data set of n curves counts as sqrt(n). Made of all data sets but one,
the bands of such a table alone covered 80-85% of its curves, by horizon, where they claim 80%.
"""

from __future__ import annotations

import numpy as np

# (ratios, levels): (value - predicted) / scale, more is better
_TABLE = """\
-1.17 -1.61 -1.62 -1.07 -2.36 -1.58
-0.92 -1.07 -0.90 -0.67 -1.45 -1.03
-0.65 -0.82 -0.60 -0.53 -1.06 -0.75
-0.34 -0.50 -0.46 -0.38 -0.67 -0.64
-0.21 -0.28 -0.37 -0.25 -0.43 -0.38
-0.14 -0.17 -0.33 -0.11 -0.31 -0.30
-0.09 -0.08 -0.20  0.02 -0.18 -0.10
-0.05  0.00 -0.11  0.16 -0.10  0.02
-0.00  0.06  0.02  0.26  0.05  0.05
 0.11  0.19  0.09  0.40  0.22  0.30
 0.27  0.24  0.14  0.54  0.35  0.57
 0.38  0.31  0.24  0.63  0.56  0.77
 0.39  0.43  0.36  0.68  0.83  1.06
 0.51  0.76  0.62  0.88  1.24  1.25
 0.69  1.02  0.88  1.17  1.40  1.61
 0.92  1.17  1.18  1.34  1.94  2.15
 1.32  1.44  1.40  1.49  2.73  2.62
 1.64  1.66  2.16  1.81  2.94  3.04
 1.97  2.16  2.54  2.17  3.36  3.49
 2.39  3.41  5.38  3.60  4.14  4.42
"""
DEFAULT_SCORES = np.array([row.split() for row in _TABLE.splitlines()], dtype=np.float64).T
