"""The console: shows text from files as it is, whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """Return `text` with a sign for each control character, but for line ends and tabs.

    A terminal acts on them: they move its cursor, set its title, or turn the writing round.
    """
    return _CONTROL.sub("\ufffd", text)


class PlainConsole(Console):
    """Takes no markup and no emoji from text, and lets no control character of it through.

    Names of runs, stages and parameters come from files that anyone may have written. What is to be
    styled is given as a `Text`, or with `style`.
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of `rich.console.Console`."""
        super().__init__(markup=False, emoji=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield segments whose text moves nothing on the terminal."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)
