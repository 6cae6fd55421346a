"""Two models in one state: both optimizers survive a change of model, and resuming is exact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.helpers import outcome, part_of, same, state
from training.errors import UserError
from training.fitting import check
from training.layers import Layers
from training.randomness import derive
from training.schedule import Facts, Schedule, Stage
from training.settings import Place, Settings
from training.store import Store
from training.task import Totals, facts_of
from training.trainer import Trainer
from training.walk import Visit, foresee, walk


class TwoTask:
    """`maker` turns numbers into others, `judge` is to say them; each is trained by the other."""

    name = "two"

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(3)
        self.points = torch.randn(24, 5, generator=random)
        self.goals = torch.randn(24, 2, generator=random)

    def identity(self) -> dict[str, Any]:
        return {}

    def fingerprint(self) -> str:
        return "two"

    def num_train(self) -> dict[str, int]:
        return {"target": 24, "source": 24}

    def layers(self) -> dict[str, Layers]:
        return {
            model: {"stem": ("0.weight", "0.bias"), "head": ("2.weight", "2.bias")}
            for model in ("maker", "judge")
        }

    def loss_terms(self) -> dict[str, float]:
        return {}

    def build(self, seed: int) -> nn.ModuleDict:
        torch.manual_seed(derive(seed, 0, "weights"))
        return nn.ModuleDict(
            {
                "maker": nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.2), nn.Linear(7, 5)),
                "judge": nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)),
            }
        )

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        """Both data sets have the same head."""

    def class_labels(self, data: str) -> None:
        return None

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Any stage fits."""

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        return torch.rand(len(chosen), 1, generator=generator)

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        judged = forward["judge"](forward["maker"](self.points[chosen] + 0.1 * draws))
        loss = (judged - self.goals[chosen]).square().mean()
        return loss, {"num": torch.full((), len(chosen))}

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        judged = models["judge"](models["maker"](self.points))
        return {"loss": (judged - self.goals).square().mean(), "num": torch.ones(())}

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        return {"train_loss": train["loss"] / train["num"], "val_loss": val["loss"] / val["num"]}

    def to(self, device: str) -> None:
        """Stay on the CPU."""


TWO = TwoTask()


def stage(model: str, name: str = "", **fields: Any) -> Stage:
    wanted = {"name": name or model, "model": model, "epochs": 2, "lr": 1e-2, "batch_size": 8}
    return Stage.parse(wanted | fields)


def facts(plan: Schedule) -> Facts:
    found = facts_of(TWO, seed=plan.seed, place=Place())
    check(plan, found)
    return found


def run(plan: Schedule, store: Store) -> list[Visit]:
    known = facts(plan)
    by = Trainer(TWO, root=known.root, seed=plan.seed, store=store, place=known.place)
    return list(walk(plan, known, store, by.train))


KEPT = {"keep_optimizer": True}
PLANS = {
    "fresh": Schedule(stages=(stage("maker"), stage("judge"), stage("maker", "again"))),
    "kept": Schedule(
        stages=(
            stage("maker"),
            stage("judge"),
            stage("maker", "maker 2", **KEPT),
            stage("judge", "judge 2", **KEPT),
            stage("maker", "maker 3", epochs=1, **KEPT),
        )
    ),
    "frozen early": Schedule(
        stages=(
            stage("maker"),
            stage("judge"),
            stage("maker", "again", groups={"stem": "frozen", "*": 1.0}, **KEPT),
        )
    ),
    "averaged": Schedule(
        stages=(stage("maker", ema_decay=0.9), stage("judge"), stage("maker", "2", ema_decay=0.9))
    ),
    "restarted": Schedule(
        stages=(stage("maker"), stage("judge"), stage("maker", "again", restart=True))
    ),
    "sgd": Schedule(
        stages=(
            stage("maker", optimizer={"kind": "sgd"}),
            stage("judge"),
            stage("maker", "again", optimizer={"kind": "sgd"}, **KEPT),
        )
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_it_resumes_exactly_at_every_border(name: str, tmp_path: Path) -> None:
    plan, straight = PLANS[name], Store(str(tmp_path / "straight"))
    visits, keys = run(plan, straight), foresee(plan, facts(plan))
    for border in range(len(keys)):
        fork = part_of(straight, keys[:border], tmp_path / str(border))
        again = run(plan, fork)
        assert [visit.reused for visit in again] == [i < border for i in range(len(keys))]
        same({str(border): state(straight, keys[-1])}, {str(border): state(fork, keys[-1])})
        same([outcome(v.record) for v in visits], [outcome(v.record) for v in again])


def steps(found: dict[str, Any]) -> float:
    """The number of steps that AdamW has made with the first parameter."""
    return float(found["state"][0]["step"])


def test_an_optimizer_goes_on_where_the_model_was_left(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    visits = run(PLANS["kept"], store)
    found = [state(store, visit.record.key) for visit in visits]
    per_epoch = 3
    assert [steps(s["optimizer"]) / per_epoch for s in found] == [1, 2, 1, 2, 3, 4, 3, 4, 5]
    parked = [{m: steps(p) / per_epoch for m, p in s["parked"].items()} for s in found]
    maker, judge = ([{"maker": 2}] * 2, [{"judge": 2}] * 2)
    assert parked == [{}, {}, *maker, *judge, *([{"maker": 4}] * 2), {"judge": 4}]


def test_a_new_optimizer_takes_the_place_of_a_parked_one(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    last = run(PLANS["fresh"], store)[-1].record
    found = state(store, last.key)
    assert steps(found["optimizer"]) == 2 * 3
    assert set(found["parked"]) == {"judge"}


def test_to_keep_an_optimizer_makes_a_difference(tmp_path: Path) -> None:
    stages = (stage("maker"), stage("judge"), stage("maker", "again"))
    kept = (*stages[:2], stages[2].model_copy(update=KEPT))
    one, other = (run(Schedule(stages=s), Store(str(tmp_path)))[-1].record for s in (stages, kept))
    assert one.key != other.key
    assert one.metrics != other.metrics


def weights(store: Store, visit: Visit, model: str) -> dict[str, Tensor]:
    models = state(store, visit.record.key)["models"]
    return {name: value for name, value in models.items() if name.startswith(model)}


def test_only_the_model_of_the_stage_moves(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    visits = run(PLANS["fresh"], store)
    for before, after in ((1, 2), (3, 4)):
        moved = visits[after].stage.split()[0].replace("again", "maker")
        for model in ("maker", "judge"):
            one, other = (weights(store, visits[i], model) for i in (before, after))
            equal = all(torch.equal(one[name], other[name]) for name in one)
            assert equal == (model != moved), f"{model} in {visits[after].stage}"


def test_a_restart_begins_with_other_weights_and_leaves_the_other_model(tmp_path: Path) -> None:
    tiny = stage("maker", "again", restart=True, lr=1e-12, epochs=1)
    plan = Schedule(stages=(stage("maker"), stage("judge"), tiny))
    store = Store(str(tmp_path))
    visits = run(plan, store)
    begun, trained, again = (weights(store, visits[i], "maker") for i in (0, 3, 4))
    built = TWO.build(0).state_dict()
    for found in (begun, trained, built):
        gap = (again["maker.0.weight"] - found["maker.0.weight"]).abs().max()
        assert gap > 0.01, f"a restart went on from known weights ({gap})"
    same(weights(store, visits[3], "judge"), weights(store, visits[4], "judge"))


def test_a_stage_without_restart_has_the_key_it_always_had() -> None:
    known = facts(PLANS["fresh"])
    settings = PLANS["fresh"].next([], known)
    assert settings is not None
    assert "restart" not in settings.plain()


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((stage("maker"), stage("judge", **KEPT)), r"stages\.1 .*same model"),
        (
            (stage("maker"), stage("judge", data="source"), stage("maker", "again", **KEPT)),
            r"stages\.2 .*in between",
        ),
        (
            (stage("maker", optimizer={"kind": "sgd"}), stage("judge"), stage("maker", **KEPT)),
            r"stages\.2 .*same optimizer",
        ),
    ],
)
def test_an_optimizer_that_does_not_fit_is_refused(stages: tuple[Stage, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        facts(Schedule(stages=stages))


def test_what_restarts_keeps_no_optimizer() -> None:
    with pytest.raises(UserError, match="keep_optimizer: what restarts"):
        stage("maker", restart=True, **KEPT)
