"""The report on unfreezing. It joins the analysis of a search with the rules of schedules.

It is here and not in `analysis`, which imports nothing of the project: whether a head has settled
is decided by `training.rules`, as schedules decide it. Nothing slow is imported before it is made.
"""

from analysis.reports import Report
from thaw.unfreeze.options import Options

UNFREEZE = Report(
    "unfreeze",
    "When heads had settled, what unfreezing earlier or later cost, and which rule would tell.",
    Options,
    "thaw.unfreeze.report",
)
