"""The report on runs that tried to get off a plateau. It joins the analysis with the monitor.

It is here and not in `analysis`, which imports nothing of the project: what it says is what
schedules act on, by the rules of `training.monitor`. Nothing slow is imported before it is made.
"""

from analysis.reports import Report
from thaw.plateau.options import Options

PLATEAU = Report(
    "plateau",
    "Runs that resumed from one point: where it was stuck, what each gained, which to take next.",
    Options,
    "thaw.plateau.report",
)
