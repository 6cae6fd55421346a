"""Results of a search of `cyclic_lambda` that was never trained: what is measured is made up."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from thaw.cyclic.reading import FIRST, PRETRAIN, round_of
from trainables.cyclic_recipes import cyclic_schedule
from trainables.spec import TrialSpec
from training.cyclic_config import CyclicConfig
from training.schedule import Stage
from training.store import Store
from training.walk import UNKNOWN

PEOPLE, PROBES = 25, 20
TASK = {"identities": 4, "images": 2, "blocks": 2, "width": 4}
SECONDS = {"dsr": 2.0, "edgeface": 3.0}
Levels = dict[str, tuple[float, float, float]]
"""Round -> (accuracy, PSNR in dB, identity loss) at its end."""
BASE: Levels = {PRETRAIN: (0.3, 25.0, 0.5), FIRST: (0.4, 26.0, 0.22)}


class Search:
    """A folder of results, with its store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(str(folder / "store"))
        self._rows: list[dict[str, Any]] = []
        folder.mkdir(parents=True)
        facts = {"system": "cyclic", "metric": "val_accuracy", "mode": "max"}
        options = {"options": {"store": str(folder / "store")}}
        (folder / "search.json").write_text(json.dumps(facts | options))

    def add(
        self,
        strategy: Any,
        levels: Levels,
        *,
        seed: int = 0,
        status: str = "finished",
        resolution: int = 16,
    ) -> None:
        """Add a trial with so many cycles as `levels` has rounds after the first."""
        config = CyclicConfig.parse(TASK | {"resolution": resolution})
        schedule = cyclic_schedule(config, seed=seed, strategy=strategy, cycles=len(levels))
        name = f"{len(self._rows):04d}"
        spec = TrialSpec(system="cyclic", task=TASK | {"resolution": resolution}, schedule=schedule)
        results = self._publish(schedule.stages, BASE | levels, f"{resolution} {seed}")
        trial = self.folder / name
        trial.mkdir()
        (trial / "schedule.yaml").write_text(spec.yaml())
        (trial / "result.json").write_text("\n".join(map(json.dumps, results)) + "\n")
        values = {"strategy": strategy, "lambda_l1": 0.8}
        self._rows.append({"trial": name, **values, "status": status, "folder": name})
        with (self.folder / "trials.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self._rows[0]))
            writer.writeheader()
            writer.writerows(self._rows)

    def _publish(self, stages: Sequence[Stage], levels: Levels, root: str) -> list[dict[str, Any]]:
        """Publish each segment; the same way to it has the same key."""
        key, results = root, []
        for stage in stages:
            name = round_of(stage.name) or PRETRAIN
            for epoch in range(stage.epochs):
                key = sha256(f"{key} {stage.name} {epoch} {levels[name]}".encode()).hexdigest()
                record = replace(
                    UNKNOWN,
                    key=key,
                    data=stage.data,
                    metrics=_metrics(*levels[name]),
                    train_s=SECONDS[stage.model],
                    tables={"val_probes": _probes(levels[name][0])},
                )
                if self.store.record(key) is None:
                    self.store.publish(record, {})
                    self.store.drop_state(key)
                results.append({"segment": len(results) + 1, "stage": stage.name, "key": key})
        return results


def _metrics(accuracy: float, psnr: float, identity: float) -> dict[str, float]:
    plain = {"val_accuracy": accuracy, "val_bicubic_accuracy": BASE[PRETRAIN][0]}
    return plain | {"val_psnr": psnr, "val_identity": identity, "val_tar": accuracy / 2}


def _probes(accuracy: float) -> list[list[int]]:
    """Spread what was recognised evenly over all people, but for a person more or less."""
    right, plain = (round(share * PEOPLE * PROBES) for share in (accuracy, BASE[PRETRAIN][0]))
    return [
        [PROBES, right // PEOPLE + (n < right % PEOPLE), plain // PEOPLE + (n < plain % PEOPLE)]
        for n in range(PEOPLE)
    ]
