"""A trial as a file: it comes back whole, and what is wrong in it is named."""

from pathlib import Path

import pytest

from search_spaces.study import STUDIES, study
from tests.thaw.helpers import spec, write_yaml
from trainables.classifier import baseline
from trainables.spec import TrialSpec
from training.classification import ClassifierConfig
from training.curves import Constant, Cosine, OneCycle
from training.errors import UserError
from training.optimizers import SGD
from training.schedule import Schedule, Stage
from training.settings import Augment, Compute

RICH = Schedule(
    seed=3,
    curve=Cosine(),
    compute=Compute(precision="bf16", channels_last=True),
    stages=(
        Stage(name="one", epochs=2, lr=1e-3, groups={"z*": "frozen", "a": 0.1, "*": 1.0}),
        Stage(name="two", epochs=1, lr=3e-5, curve=Constant(), batchnorm="eval_all"),
        Stage(
            name="three",
            epochs=4,
            lr=0.1,
            curve=OneCycle(),
            optimizer=SGD(nesterov=True),
            batch_size=64,
            accumulate=2,
            clip_norm=1.0,
            image_size=48,
            data_fraction=0.5,
            augment=Augment(shift=0.1, flip=True),
            loss={"label_smoothing": 0.1},
            ema_decay=0.99,
        ),
    ),
)
TRIALS = [
    spec(1e-3),
    TrialSpec(system="classifier", schedule=RICH),
    TrialSpec(
        system="classifier",
        task={"model": "resnet18", "layers": {"z": "fc", "a": ".*"}},
        schedule=baseline(ClassifierConfig(), seed=5),
    ),
]
HEAD = "system: classifier\ntask: {}\nschedule:\n  seed: 0\n  stages:\n"
STAGE = "  - {name: all, epochs: 2, lr: 0.001}\n"


@pytest.mark.parametrize("trial", TRIALS, ids=["two stages", "all fields", "task"])
def test_yaml_gives_back_the_trial(tmp_path: Path, trial: TrialSpec) -> None:
    again = TrialSpec.read(str(write_yaml(tmp_path, trial.yaml())))
    assert (again.system, again.schedule) == (trial.system, trial.schedule)
    assert again.config() == trial.config()


@pytest.mark.parametrize("trial", TRIALS, ids=["two stages", "all fields", "task"])
def test_yaml_keeps_the_order_of_the_groups(tmp_path: Path, trial: TrialSpec) -> None:
    again = TrialSpec.read(str(write_yaml(tmp_path, trial.yaml())))
    for mine, read in zip(trial.schedule.stages, again.schedule.stages, strict=True):
        assert list(read.groups.items()) == list(mine.groups.items())


def test_yaml_of_yaml_is_the_same_text(tmp_path: Path) -> None:
    text = TRIALS[1].yaml()
    assert TrialSpec.read(str(write_yaml(tmp_path, text))).yaml() == text


def test_a_file_needs_no_task(tmp_path: Path) -> None:
    path = write_yaml(tmp_path, HEAD.replace("task: {}\n", "") + STAGE)
    assert TrialSpec.read(str(path)).config() == ClassifierConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + STAGE + "  corve: x\n", "schedule: unknown field 'corve' (did you mean 'curve'?)"),
        (HEAD + "  - {name: all, epochs: 2, lr: 0.1, epoch: 3}\n", "unknown field 'epoch'"),
        (HEAD + "  - {name: all, epochs: 0, lr: 0.1}\n", "schedule.stages.0.epochs: Input should"),
        (HEAD + "  - {name: all, epochs: 2, lr: fast}\n", "schedule.stages.0.lr: Input should be"),
        (HEAD + "  - {name: all, epochs: 2}\n", "schedule.stages.0.lr: required field is missing"),
        (HEAD + "  - {name: a, epochs: 2, lr: .nan}\n", "schedule.stages.0.lr: Input should be"),
        ("system: classifier\nschedule: {stages: []}\n", "schedule.stages: Tuple should have at"),
        (HEAD.replace("{}", "{modle: resnet18}") + STAGE, "task: unknown field 'modle' (did you"),
        (
            HEAD.replace("{}", "{image_size: 4}") + STAGE,
            "task: image_size: Input should be greater",
        ),
        (HEAD.replace("classifier", "clasifier") + STAGE, "unknown system 'clasifier' (did you"),
        ("system: classifier\n", "schedule: required field is missing"),
        ("- 1\n- 2\n", "must hold the fields system, task and schedule"),
        ("", "must hold the fields system, task and schedule"),
        ("a: [1\n", "no YAML ("),
        ("a: !!python/object/apply:os.getcwd []\n", "no YAML ("),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write_yaml(tmp_path, text)
    with pytest.raises(UserError) as caught:
        TrialSpec.read(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [1\n", "", HEAD + "  - {name: all}\n"])
def test_the_file_itself_is_named(tmp_path: Path, text: str) -> None:
    path = write_yaml(tmp_path, text)
    with pytest.raises(UserError) as caught:
        TrialSpec.read(str(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        TrialSpec.read(str(tmp_path / "none.yaml"))
    assert str(caught.value) == f"{tmp_path / 'none.yaml'}: No such file or directory"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"\x80\x02\xff\xfe")
    with pytest.raises(UserError, match="no YAML"):
        TrialSpec.read(str(tmp_path / "model.pt"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_system_with_a_baseline_that_is_a_file(tmp_path: Path, name: str) -> None:
    from trainables.systems import system

    chosen = system(study(name).system)
    trial = TrialSpec(
        system=study(name).system, schedule=chosen.baseline(chosen.Settings(), seed=0)
    )
    assert TrialSpec.read(str(write_yaml(tmp_path, trial.yaml()))).schedule == trial.schedule


RULED = {
    "stages": [
        {"name": "before", "epochs": 1, "lr": 1e-3},
        {
            "name": "after",
            "epochs": 9,
            "lr": 1e-3,
            "until": {"any": [{"kind": "plateau", "patience": 2}, {"kind": "overfits"}]},
            "react": [{"when": {"any": [{"kind": "gap_opens"}]}, "lr": 0.5}],
            "roll_back": {"when": {"any": [{"kind": "hurts"}]}},
        },
    ]
}


def test_rules_that_name_no_metric_look_at_the_systems_own() -> None:
    plan = Schedule.parse(RULED)
    classifier = TrialSpec(system="classifier", schedule=plan)
    assert classifier.schedule == plan, "val_accuracy needs no word"
    after = TrialSpec(system="camouflage", schedule=plan).schedule.stages[1]
    assert after.until is not None and after.roll_back is not None
    plateau, overfits = after.until.any
    assert (plateau.metric, overfits.metric) == ("val_loss", "val_iou")  # type: ignore[union-attr]
    (opens,) = after.react[0].when.any
    (hurts,) = after.roll_back.when.any
    assert {opens.metric, hurts.metric, after.roll_back.metric} == {"val_iou"}  # type: ignore[union-attr]


def test_another_schedule_is_measured_by_the_same_system() -> None:
    other = TrialSpec(system="camouflage", schedule=RICH).with_schedule(Schedule.parse(RULED))
    back = other.schedule.stages[1].roll_back
    assert back is not None and back.metric == "val_iou"
