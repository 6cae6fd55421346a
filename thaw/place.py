"""Whether earlier results are gone on with on devices like theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from training.errors import UserError
from training.settings import Place


def check_place(before: Mapping[str, Any] | None, now: Place, where: str) -> None:
    """Raise `UserError` where segments are to be trained at another place than `before`.

    The place is in the name of every segment: none of those in `where` would be found in the store
    again. None as `before` is any place.
    """
    if before is not None and dict(before) != asdict(now):
        raise UserError(
            f"{where}: its segments were trained with {_shown(before)}, here it would be "
            f"{_shown(asdict(now))}, and none of them would be found again; run this on devices "
            "like those (CUDA_VISIBLE_DEVICES= hides GPUs), or search anew into another --out"
        )


def _shown(place: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in place.items())
