"""What a slot tells Tune of each segment that a trial visits."""

from dataclasses import replace

from tests.thaw.helpers import spec
from tests.trainables.helpers import facts
from trainables.slot import Assignment, results
from training.walk import UNKNOWN, Visit

TRIAL = Assignment(name="0000", spec=spec(1e-3), facts=facts())


def visit(**fields: object) -> Visit:
    record = replace(UNKNOWN, data="target", metrics={"val_accuracy": 0.5}, **fields)  # type: ignore[arg-type]
    return Visit(record=record, stage="head", reused=False, ended=None)


def test_peak_memory_is_told_where_it_was_measured() -> None:
    (cpu, cuda) = results(TRIAL, [visit(), visit(peak_bytes=2**30)])
    assert "peak_memory_bytes" not in cpu
    assert cuda["peak_memory_bytes"] == 2**30
    assert (cuda["stage"], cuda["epoch"]) == ("head", 2)
