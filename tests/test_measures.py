"""Measures, by whatever names the classes have."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from surgeon.evaluation.measures import evaluate
from surgeon.report.results import averages_text
from surgeon.results.run import FrozenResult, RunResult, result_figures, result_record, run_result

NAMES = ("accuracy", "macro avg", "weighted avg", "micro avg", "file", "label", "predicted")


def result_of(labels: list[int], predicted: list[int], classes: tuple[str, ...]) -> RunResult:
    return RunResult(
        name="r",
        images={"test": len(labels)},
        ignored=0,
        bad_images={},
        frozen=FrozenResult(0, 0, 0.0, 0, 0, None),
        phases=(),
        evaluation=evaluate("test", np.array(labels, np.int32), np.array(predicted), classes),
        linear_probe=None,
        expected={},
        seconds=1.0,
        versions={},
    )


def test_measures_are_those_of_scikit_learn_over_the_classes_that_have_images() -> None:
    random = np.random.default_rng(0)
    labels = random.choice([0, 1, 3, 6], 200).astype(np.int32)  # no image of the others
    predicted = np.where(random.random(200) < 0.6, labels, random.integers(0, 7, 200))
    found = evaluate("test", labels, predicted, NAMES)
    present = np.unique(labels)
    for kind, average in (("macro", found.macro), ("weighted", found.weighted)):
        expected = precision_recall_fscore_support(labels, predicted, labels=present, average=kind, zero_division=0)
        assert (average.precision, average.recall, average.f1) == pytest.approx(expected[:3])
        assert average.support == 200
    expected = precision_recall_fscore_support(labels, predicted, labels=present, zero_division=0)
    for (_, measures), *row in zip(found.measured, *expected, strict=True):
        assert (measures.precision, measures.recall, measures.f1, measures.support) == pytest.approx(tuple(row))
    assert found.accuracy == accuracy_score(labels, predicted)
    matrix = confusion_matrix(labels, predicted, labels=range(7))
    assert {(i, j): count for i, j, count in found.confusion} == {
        (i, j): count for (i, j), count in np.ndenumerate(matrix) if count
    }
    assert found.missing == ("weighted avg", "file", "label")
    assert "no images of weighted avg, file, label, so averages are over the 4 classes" in str(averages_text(found))


def test_no_name_of_a_class_takes_the_place_of_another_figure() -> None:
    result = result_of([0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 0], NAMES)
    figures = result_figures(result)
    assert len(figures) == 3 + len(NAMES)
    assert figures["network accuracy"] == pytest.approx(6 / 7)
    assert figures["network, class accuracy, F1"] == pytest.approx(2 / 3)


def test_a_result_comes_back_from_its_json_form() -> None:
    result = result_of([0, 1, 1], [0, 1, 0], ("a", "b", "c"))
    assert run_result(json.loads(json.dumps(result_record(result)))) == result


def test_a_result_of_an_earlier_release_is_read() -> None:
    """It held scikit-learn's report and the whole confusion matrix."""
    result = result_of([0, 1, 1], [0, 1, 0], ("a", "b", "c"))
    record = result_record(result)
    record["evaluation"] = {
        "split": "test",
        "classes": ["a", "b", "c"],
        "accuracy": 2 / 3,
        "report": {"a": {"precision": 0.5, "recall": 1.0, "f1-score": 2 / 3, "support": 1.0}, "accuracy": 2 / 3},
        "confusion": [[1, 0, 0], [1, 1, 0], [0, 0, 0]],
    }
    assert run_result(json.loads(json.dumps(record))) == result


def test_a_thousand_classes_take_room_by_their_images() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(10_000, dtype=np.int32) % 1000
    predicted = np.where(random.random(10_000) < 0.8, labels, random.integers(0, 1000, 10_000))
    result = result_of(labels.tolist(), predicted.tolist(), tuple(f"class {number}" for number in range(1000)))
    assert len(json.dumps(result_record(result), indent=2)) < 1_000_000
