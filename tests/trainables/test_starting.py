"""Starting points by the size of the data set, against the numbers of the source documents."""

import pytest

from trainables.situation import Situation
from trainables.starting import auto_far, starting_point
from training.schedule import Schedule
from training.settings import Augment

RESNET = ("stem", "layer1", "layer2", "layer3", "layer4", "head")


@pytest.mark.parametrize(
    ("num", "low", "high"),
    [
        (269, 4, 4),
        (1_999, 4, 4),
        (2_000, 1, 1),
        (9_999, 1, 1),
        (10_000, 2, 2),
        (29_999, 2, 2),
        (30_000, 3, 3),
        (50_000, 3, 3),
        (99_999, 3, 3),
        (100_000, 3, 5),
        (1_000_000, 3, 5),
    ],
)
def test_epochs_of_the_head_by_number_of_images(num: int, low: int, high: int) -> None:
    assert low <= starting_point(num).head_epochs <= high


def test_tiny_data_get_smoothing_augmentation_and_a_lower_rate() -> None:
    tiny, small = starting_point(500), starting_point(5_000)
    assert tiny.label_smoothing > small.label_smoothing
    assert tiny.augment != Augment() and small.augment == Augment()
    assert tiny.lr < small.lr


def situation(num: int) -> Situation:
    return Situation(layers=RESNET, num_train=num, image_size=224, sample=False)


def test_far_data_train_the_last_block_first_with_fixed_batchnorm() -> None:
    schedule: Schedule = auto_far(situation(20_000), 20)
    assert [(s.name, s.epochs, s.batchnorm) for s in schedule.stages] == [
        ("head", 2, "eval_all"),
        ("partial", 4, "eval_all"),
        ("full", 14, "train"),
    ]
