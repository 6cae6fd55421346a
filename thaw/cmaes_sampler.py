"""CMA-ES of Optuna, which keeps its state as a pickle in the study: here it is read, not obeyed."""

from __future__ import annotations

import io
import pickle
from typing import Any

from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

from training.errors import UserError

_ALLOWED = frozenset(
    {
        ("cmaes._cma", "CMA"),
        ("cmaes._cmawm", "CMAwM"),
        ("cmaes._sepcma", "SepCMA"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


class _Reader(pickle.Unpickler):
    """Makes the optimizers of the package `cmaes` and numpy's arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few allowed types."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of CMA-ES")
        return super().find_class(module, name)


class PlainCmaEs(CmaEsSampler):
    """The same sampler; a study that somebody else wrote cannot make it run their code."""

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        """Return the optimizer that the last trial left in the study, None where there is none.

        Raises `UserError` where it is something else.
        """
        for trial in reversed(completed_trials):
            parts = {
                name: text
                for name, text in trial.system_attrs.items()
                if name.startswith(self._attr_key_optimizer)
            }
            if parts:
                return self._read(trial.number, parts)
        return None

    def _read(self, number: int, parts: dict[str, Any]) -> Any:
        try:
            data = bytes.fromhex(self._concat_optimizer_attrs(parts))
            return _Reader(io.BytesIO(data)).load()
        except Exception as error:  # whatever it is, it was not written by this sampler
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"--storage: trial {number} holds no state of CMA-ES ({reason})"
            ) from None
