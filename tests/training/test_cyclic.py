"""The task of two models: which one learns from which, what is kept, and exact resuming."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.helpers import outcome, part_of, same, state
from training.cyclic import TERMS, Cyclic
from training.cyclic_config import CyclicConfig
from training.errors import UserError
from training.generated import Generated
from training.live import Live
from training.schedule import Schedule, Stage
from training.segment import evaluate_segment, read, train_segment
from training.settings import Compute, Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import UNKNOWN, Visit, foresee, walk

TINY = {"identities": 4, "images": 2, "blocks": 2, "width": 4}
ALL: dict[str, float] = dict(
    l1=1.0, perceptual=0.02, identity=0.5, feature_match=0.15, total_variation=3e-6
)


def config(**fields: Any) -> CyclicConfig:
    return CyclicConfig.parse(TINY | fields)


TASK = Cyclic(config())


def dsr(**fields: Any) -> Stage:
    return Stage.parse(
        {"name": "dsr", "model": "dsr", "epochs": 1, "lr": 1e-3, "batch_size": 2, "loss": ALL}
        | fields
    )


def edgeface(**fields: Any) -> Stage:
    return Stage.parse(
        {"name": "edgeface", "model": "edgeface", "epochs": 1, "lr": 1e-3, "batch_size": 2} | fields
    )


def run(plan: Schedule, store: Store, task: Cyclic = TASK) -> list[Visit]:
    facts = facts_of(task, seed=plan.seed, place=Place())
    plan.check(facts)
    by = Trainer(task, root=facts.root, seed=plan.seed, store=store, place=facts.place)
    return list(walk(plan, facts, store, by.train))


def settings_of(stages: Sequence[Stage], number: int = 0, task: Cyclic = TASK) -> Any:
    facts = facts_of(task, seed=0, place=Place())
    return Schedule(stages=tuple(stages)).next([UNKNOWN] * number, facts)


HEAD = {"arcface": 1.0, "*": "frozen"}
PLAN = Schedule(
    stages=(
        edgeface(name="pretrain", data="source"),
        dsr(name="initial", loss={**ALL, "dropout": 0.1}),
        edgeface(name="head", groups=HEAD),
        edgeface(name="all", epochs=2, keep_optimizer=True),
        dsr(name="cycle", keep_optimizer=True, groups={"stem": "frozen", "*": 1.0}),
        dsr(name="from scratch", restart=True),
    )
)


@pytest.mark.parametrize("cache", [True, False])
def test_it_resumes_exactly_at_every_border(cache: bool, tmp_path: Path) -> None:
    """Each border with a task that knows nothing of what ran before."""
    straight = Store(str(tmp_path / "straight"))
    visits = run(PLAN, straight, Cyclic(config(cache=cache)))
    keys = foresee(PLAN, facts_of(Cyclic(config(cache=cache)), seed=0, place=Place()))
    for border in range(1, len(keys), 1 if cache else 3):
        fork = part_of(straight, keys[:border], tmp_path / str(border))
        again = run(PLAN, fork, Cyclic(config(cache=cache)))
        assert [visit.reused for visit in again] == [i < border for i in range(len(keys))]
        same({str(border): state(straight, keys[-1])}, {str(border): state(fork, keys[-1])})
        same([outcome(v.record) for v in visits], [outcome(v.record) for v in again])


def test_what_was_cached_does_not_reach_another_trial(tmp_path: Path) -> None:
    """One task object serves trials by turns: the second finds the other's outputs cached."""
    used = Cyclic(config())
    other = Schedule(stages=(dsr(lr=1e-1), edgeface()))
    mine = Schedule(stages=(dsr(lr=1e-3), edgeface()))
    run(other, Store(str(tmp_path / "other")), used)
    after = run(mine, Store(str(tmp_path / "used")), used)
    fresh = run(mine, Store(str(tmp_path / "fresh")), Cyclic(config()))
    same([outcome(v.record) for v in after], [outcome(v.record) for v in fresh])


def test_the_cache_is_part_of_what_names_a_state() -> None:
    roots = {facts_of(Cyclic(config(cache=c)), seed=0, place=Place()).root for c in (True, False)}
    assert len(roots) == 2, "batches of other sizes may differ in the last bit"


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


def test_a_result_is_made_anew_when_the_model_changed_and_only_then() -> None:
    model, kept, made = Counting(), Generated(), []

    def make() -> Tensor:
        made.append(model.weight.detach().clone())
        return made[-1]

    first, second, bf16 = (
        settings_of([edgeface()]),
        settings_of([edgeface()]),
        replace(settings_of([edgeface()]), compute=Compute(precision="bf16")),
    )
    for settings in (first, first, second):
        kept.of(model, settings, make)
    assert len(made) == 1, "the next segment finds the same model"
    kept.of(model, bf16, make)
    assert len(made) == 2, "in another precision it makes something else"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, fused=True)
    model.weight.grad = torch.ones(3)
    optimizer.step()
    assert kept.of(model, replace(bf16), make).max() < 1, "an optimizer moved it"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.weight.add_(1)
    model.load_state_dict(before)
    kept.of(model, replace(bf16), make)
    assert len(made) == 3, "the same content has the same name"
    kept.of(Counting(), replace(bf16), make)
    assert len(made) == 4, "another model"


def moved(stage: Stage) -> set[str]:
    """The top-level parts whose weights a stage changes."""
    live = Live(TASK, 0, "cpu")
    settings = settings_of([stage])
    live.prepare(settings)
    before = {name: p.detach().clone() for name, p in live.models.named_parameters()}
    train_segment(live, TASK, settings, 0)
    return {
        ".".join(name.split(".")[:2])
        for name, p in live.models.named_parameters()
        if not torch.equal(before[name], p)
    }


def test_the_recogniser_is_frozen_while_dsr_is_trained() -> None:
    assert {name.split(".")[0] for name in moved(dsr())} == {"dsr"}


def test_dsr_is_frozen_while_the_recogniser_is_trained() -> None:
    assert moved(edgeface()) == {"edgeface.backbone", "edgeface.arcface"}
    assert moved(edgeface(groups=HEAD)) == {"edgeface.arcface"}


def test_every_term_moves_dsr_by_itself() -> None:
    for term in TERMS:
        loss = dict.fromkeys(TERMS, 0.0) | {term: 1.0}
        assert any(name.startswith("dsr") for name in moved(dsr(loss=loss))), term


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    live = Live(TASK, 0, "cpu")
    chosen, draws = torch.arange(3), torch.zeros(3, 5)
    nn.init.normal_(live.models["dsr"].out.weight, std=0.01)  # type: ignore[union-attr,arg-type]

    def loss(weights: dict[str, float]) -> float:
        settings = settings_of([dsr(loss=dict.fromkeys(TERMS, 0.0) | weights)])
        return TASK.loss(live.evaluated(settings), chosen, draws, settings)[0].item()

    alone = {term: loss({term: 1.0}) for term in TERMS}
    assert all(value > 0 for value in alone.values()), alone
    expected = sum(ALL[term] * alone[term] for term in TERMS)
    assert loss(ALL) == pytest.approx(expected, rel=1e-5)


def test_without_any_weight_it_says_so() -> None:
    settings = settings_of([dsr(loss=dict.fromkeys(TERMS, 0.0))])
    with pytest.raises(UserError, match="must have a weight above 0"):
        TASK.loss(Live(TASK, 0, "cpu").models, torch.arange(2), torch.zeros(2, 5), settings)


def metrics(stage: Stage, task: Cyclic = TASK) -> dict[str, float]:
    live = Live(task, 0, "cpu")
    settings = settings_of([stage], task=task)
    live.prepare(settings)
    totals, _ = read(evaluate_segment(live, task, settings), settings)
    return task.metrics({"loss": 1.0, "num": 1.0}, totals)


def test_before_any_training_dsr_is_bicubic() -> None:
    found = metrics(dsr())
    assert found["val_psnr"] == found["val_bicubic_psnr"]
    assert found["val_accuracy"] == found["val_bicubic_accuracy"]


def test_terms_are_recorded_raw_and_weighted() -> None:
    found = metrics(dsr())
    for term in TERMS:
        assert found[f"val_{term}_weighted"] == pytest.approx(ALL[term] * found[f"val_{term}"])
    expected = sum(found[f"val_{term}_weighted"] for term in TERMS)
    assert found["val_loss"] == pytest.approx(expected)
    assert metrics(edgeface())["val_loss"] == metrics(edgeface())["val_identification"]


def test_terms_of_the_training_loss_are_recorded_raw_and_weighted(tmp_path: Path) -> None:
    stages = (dsr(loss={**ALL, "identity": 0.0}), edgeface())
    first, second = (v.record.metrics for v in run(Schedule(stages=stages), Store(str(tmp_path))))
    trained = [term for term in TERMS if term != "identity"]
    for term in trained:
        weighted = ALL[term] * first[f"train_{term}"]
        assert first[f"train_{term}_weighted"] == pytest.approx(weighted, rel=1e-5), term
    total = sum(first[f"train_{term}_weighted"] for term in trained)
    assert first["train_loss"] == pytest.approx(total, rel=1e-5)
    assert first["train_identity"] == 0, "without a weight it is not computed"
    assert all(second[f"train_{term}"] == second[f"train_{term}_weighted"] == 0 for term in TERMS)


def test_who_was_recognised_is_counted_for_each_identity(tmp_path: Path) -> None:
    record = run(Schedule(stages=(edgeface(data="source"),)), Store(str(tmp_path)))[-1].record
    rows = record.tables["val_probes"]
    assert [num for num, _, _ in rows] == [1, 1], "two held-out people with two images each"
    for place, name in ((1, "val_accuracy"), (2, "val_bicubic_accuracy")):
        assert sum(row[place] for row in rows) / 2 == pytest.approx(record.metrics[name])


def test_ranks_that_evaluate_the_same_do_not_change_the_metrics() -> None:
    live = Live(TASK, 0, "cpu")
    settings = settings_of([dsr()])
    live.prepare(settings)
    with torch.no_grad():
        sums = TASK.evaluate(live.models, settings, 0)
    totals = {name: value.item() for name, value in sums.items() if not value.ndim}
    one = TASK.metrics({"loss": 1.0, "num": 2.0}, totals)
    two = TASK.metrics({"loss": 2.0, "num": 4.0}, {name: 2 * v for name, v in totals.items()})
    assert one == two


def test_it_learns(tmp_path: Path) -> None:
    plan = Schedule(stages=(dsr(epochs=4, lr=5e-3, loss={"l1": 1.0}),))
    records = [visit.record for visit in run(plan, Store(str(tmp_path)))]
    assert records[-1].metrics["train_loss"] < records[0].metrics["train_loss"]


def test_augmented_faces_are_augmented(tmp_path: Path) -> None:
    stages = dsr(), dsr(augment={"flip": True, "shift": 0.1})
    one, other = (run(Schedule(stages=(s,)), Store(str(tmp_path)))[-1].record for s in stages)
    assert one.metrics["train_loss"] != other.metrics["train_loss"]


@pytest.mark.parametrize("resolution", [16, 24, 32])
def test_each_resolution(resolution: int) -> None:
    found = metrics(dsr(), Cyclic(config(resolution=resolution)))
    assert 0 <= found["val_accuracy"] <= 1
    assert 15 < found["val_psnr"] < 60


def test_a_perceptual_weight_without_weights_is_refused() -> None:
    bare = Cyclic(config(perceptual="none"))
    facts = facts_of(bare, seed=0, place=Place())
    with pytest.raises(UserError, match=r"stages\.0 \(dsr\)\.loss\.perceptual: must be 0: there"):
        Schedule(stages=(dsr(),)).check(facts)
    without = {name: weight for name, weight in ALL.items() if name != "perceptual"}
    Schedule(stages=(dsr(loss=without),)).check(facts)
    assert "val_perceptual" not in metrics(dsr(loss=without), bare)


def saved(models: nn.ModuleDict, model: str, path: Path) -> str:
    torch.save({"model_state_dict": models[model].state_dict()}, path)
    return str(path)


def test_a_users_models_are_what_it_starts_from(tmp_path: Path) -> None:
    given = Cyclic(config()).build(7)
    paths = {
        f"{name}_weights": saved(given, name, tmp_path / f"{name}.pt")
        for name in ("dsr", "edgeface")
    }
    task = Cyclic(config(**paths))
    built = task.build(0)
    same(dict(built["dsr"].state_dict()), dict(given["dsr"].state_dict()))
    backbone = [
        {n: v for n, v in models["edgeface"].state_dict().items() if n != "arcface"}
        for models in (built, given)
    ]
    same(*backbone)
    assert task.fingerprint() != TASK.fingerprint()


@pytest.mark.parametrize(
    ("stage", "name"), [(dsr, "stem.weight"), (edgeface, "backbone.stem.0.weight")]
)
def test_a_restart_is_from_scratch_also_where_weights_are_given(
    stage: Callable[..., Stage], name: str, tmp_path: Path
) -> None:
    again = stage(restart=True)
    models = TASK.build(7)
    theirs = models[again.model].get_parameter(name).detach().fill_(0.123)
    task = Cyclic(config(**{f"{again.model}_weights": saved(models, again.model, tmp_path / "f")}))
    begun = []
    for seed in (0, 1):
        live = Live(task, seed, "cpu")
        assert torch.equal(live.models[again.model].get_parameter(name), theirs)
        live.prepare(settings_of([again], task=task))
        begun.append(live.models[again.model].get_parameter(name))
    assert not torch.equal(begun[0], theirs), "it goes on from the file"
    assert not torch.equal(*begun), "two seeds draw the same"


def test_dsr_of_another_resolution_or_width_is_refused(tmp_path: Path) -> None:
    path = saved(Cyclic(config(resolution=24)).build(0), "dsr", tmp_path / "24.pt")
    message = r"trained for faces of 24 px, not of 16; allowed: resolution=24"
    with pytest.raises(UserError, match=message):
        Cyclic(config(dsr_weights=path)).build(0)
    path = saved(Cyclic(config(width=8)).build(0), "dsr", tmp_path / "wide.pt")
    with pytest.raises(UserError, match=r"stem\.weight is \(8, 3, 3, 3\).*dsr_weights=none"):
        Cyclic(config(dsr_weights=path)).build(0)


def test_dsr_of_other_faces_is_refused_and_full_retraining_named(tmp_path: Path) -> None:
    path = tmp_path / "dsr.pt"
    weights = TASK.build(0)["dsr"].state_dict()
    torch.save({"model_state_dict": weights, "data_digest": TASK.data_digest}, path)
    given = {"dsr_weights": str(path)}
    Cyclic(config(**given)).build(0)
    others = given | {"data_seed": 1}
    with pytest.raises(UserError, match=r"was trained on other faces \(\w{12}, these are \w{12}\)"):
        Cyclic(config(**others)).build(0)
    Cyclic(config(**others, other_data=True)).build(0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": 20}, r"resolution: Input should be 16, 24 or 32, got 20"),
        ({"edgeface": "xl"}, "unknown edgeface 'xl'"),
        ({"finetuned": True}, "finetuned: true needs both starting models"),
        ({"preset": "big"}, "preset: Input should be 'sample' or 'full'"),
        ({"blocks": 1}, "blocks: .*greater than or equal to 2"),
    ],
)
def test_bad_configuration_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Cyclic(config(**fields))


def test_a_preset_gives_what_is_not_given() -> None:
    full = CyclicConfig.parse({"preset": "full", "width": 32})
    assert (full.blocks, full.width, full.edgeface) == (16, 32, "xs_gamma_06")
    assert CyclicConfig().blocks == 4
    assert CyclicConfig.parse(full.model_dump()) == full
