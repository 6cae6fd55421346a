"""Confusion counts: what a task counts, what a record keeps of it, and what is read off."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from tests.training.test_store import RECORD, STATE
from trainables.classifier import baseline
from training.classification import Classification, ClassifierConfig
from training.confusion import OTHERS, Confusion, counted, kept
from training.encoding import decode_record, encode_record
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import walk

LABELS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


@given(pairs=LABELS)
def test_counts_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (torch.tensor(side) for side in zip(*pairs, strict=True))
    found = counted(true, predicted, 7)
    assert found.tolist() == confusion_matrix(true, predicted, labels=range(7)).tolist()


@given(pairs=LABELS)
def test_few_classes_are_kept_to_the_last_count(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (torch.tensor(side) for side in zip(*pairs, strict=True))
    table = counted(true, predicted, 7)
    again = torch.zeros(7, 7, dtype=torch.int64)
    for row, column, num in kept(table):
        again[row, column] = num
    assert torch.equal(again, table)


def test_of_many_classes_the_most_confused_pairs_are_kept_and_the_rest_is_summed() -> None:
    random = torch.Generator().manual_seed(3)
    true = torch.randint(0, 1000, (50_000,), generator=random)
    wrong = torch.randint(0, 1000, (50_000,), generator=random)
    predicted = torch.where(torch.rand(50_000, generator=random) < 0.5, true, wrong)
    predicted[:300] = (true[:300] + 1) % 1000
    table = counted(true, predicted, 1000)
    rows = kept(table)
    found = Confusion.of(rows)
    assert list(found.num().values()) == table.sum(1).tolist()
    pairs = found.confused()
    assert len(pairs) == 256
    off = table - torch.diag(table.diagonal())
    largest = off.flatten().sort(descending=True).values[:256].tolist()
    assert [num for *_, num in pairs] == largest
    assert any(predicted == OTHERS for _, predicted, _ in rows)
    size = len(encode_record(replace(RECORD, tables={"val_confusion": rows})))
    assert size < 60_000, f"{size} bytes for a record of 1000 classes"


def test_recall_is_the_share_of_each_class() -> None:
    found = Confusion.of([[0, 0, 3], [0, 1, 1], [1, 0, 2], [2, OTHERS, 4], [2, 2, 4]])
    assert found.recall() == {0: 0.75, 1: 0.0, 2: 0.5}
    assert found.confused() == [(1, 0, 2), (0, 1, 1)]


def test_a_record_with_a_table_is_read_back(tmp_path: Path) -> None:
    record = replace(RECORD, tables={"val_confusion": [[0, 0, 3], [1, 0, 2]]})
    Store(str(tmp_path)).publish(record, STATE)
    assert Store(str(tmp_path)).record(RECORD.key) == record


def test_a_table_that_was_changed_counts_as_absent() -> None:
    record = replace(RECORD, tables={"val_confusion": [[0, 0, 3]]})
    data = encode_record(record).replace(b"[0, 0, 3]", b"[0, 0, 4]")
    assert decode_record(RECORD.key, data) is None


def test_a_record_from_before_there_were_tables_is_read() -> None:
    plain = RECORD.plain()
    assert "tables" not in plain
    envelope = json.loads(encode_record(RECORD))
    assert envelope["record"] == plain
    assert decode_record(RECORD.key, encode_record(RECORD)) == RECORD


@pytest.fixture(scope="module")
def digits() -> Classification:
    return Classification(ClassifierConfig(image_size=16))


def test_every_segment_of_a_classifier_has_its_confusion(
    digits: Classification, tmp_path: Path
) -> None:
    schedule = baseline(digits.config, seed=0)
    facts, store = facts_of(digits, seed=0, place=Place()), Store(str(tmp_path))
    by = Trainer(digits, root=facts.root, seed=0, store=store, place=Place())
    for place, visit in enumerate(walk(schedule, facts, store, by.train)):
        found = Confusion.of(visit.record.tables["val_confusion"])
        num, recall = found.num(), found.recall()
        right = sum(recall[at] * num[at] for at in num) / sum(num.values())
        assert right == pytest.approx(visit.record.metrics["val_accuracy"], abs=1e-9)
        assert len(num) == len(digits.classes(visit.record.data))
        if place == 7:
            break
