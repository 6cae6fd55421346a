"""Steps as people write them: 90k, 1.5M, 12,345."""

from __future__ import annotations

import math
import re

_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_STEP = re.compile(
    r"\s*(\d{1,15}(?:\.\d{1,9})?|\.\d{1,9})\s*([kmgb]?)\s*", re.IGNORECASE | re.ASCII
)


def parse_step(text: str) -> float:
    """Return the step that `text` says, such as 90k; raise `ValueError` where it says none."""
    match = _STEP.fullmatch(text)
    if match is None:
        raise ValueError("must be a step, such as 320000 or 320k")
    step = float(match[1]) * _FACTORS[match[2].lower()]
    return float(round(step)) if math.isclose(step, round(step), rel_tol=1e-12) else step


def parse_positive_step(text: str) -> float:
    """Return the step above 0 that `text` says; raise `ValueError` where it says none."""
    if not (step := parse_step(text)) > 0:
        raise ValueError("must be a step above 0")
    return step


def parse_steps(text: str) -> tuple[float, ...]:
    """Return the steps of a list such as 90k,160k,240k; raise `ValueError` where one is none."""
    try:
        steps = tuple(parse_step(part) for part in text.split(","))
    except ValueError:
        raise ValueError("must be steps with commas between them, such as 90k,160k,240k") from None
    if list(steps) != sorted(set(steps)):
        raise ValueError("must rise from each step to the next")
    return steps


def shown_step(step: float) -> str:
    """Return an exact step in its shortest form; `?` where there is none."""
    if not math.isfinite(step):
        return "?"
    for suffix, factor in (("M", 1e6), ("k", 1e3)):
        if step >= factor and step % (factor / 10 if suffix == "M" else factor) == 0:
            return f"{step / factor:g}{suffix}"
    return f"{step:,.0f}" if step == round(step) else f"{step:.6g}"


def shown_about(step: float) -> str:
    """Return a mean of steps in three digits: 353333 is `353k`."""
    if not math.isfinite(step) or step == 0:
        return shown_step(step)
    digits = 2 - math.floor(math.log10(abs(step)))
    return shown_step(round(step, digits))


def column(step: float) -> str:
    """Return the step as it names a column: plain digits."""
    return str(round(step)) if step == round(step) else repr(step)


def phase_name(start: float, end: float) -> str:
    """Return the name of the phase between two steps."""
    return f"{shown_step(start)}-{shown_step(end)}"
