"""The confusion matrix against scikit-learn, and its orientation in every format."""

from __future__ import annotations

import csv
import io
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from geopointseg.assessment.confusion import AXES, ConfusionMatrix
from geopointseg.errors import LegendError
from geopointseg.legend import Legend

LEGEND = Legend.from_names(["water", "forest", "field", "town"], codes=[10, 20, 30, 255])
LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=80)


@given(pairs=LABELS)
@settings(max_examples=60, deadline=None)
def test_scores_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    mapped, reference = np.array(pairs).T
    matrix = ConfusionMatrix.from_labels(mapped, reference, LEGEND)
    options = {"labels": range(4), "average": None, "zero_division": np.nan}
    np.testing.assert_array_equal(
        matrix.counts, metrics.confusion_matrix(reference, mapped, labels=range(4)).T
    )
    assert matrix.overall_accuracy == pytest.approx(metrics.accuracy_score(reference, mapped))
    np.testing.assert_allclose(
        matrix.precision, metrics.precision_score(reference, mapped, **options)
    )
    np.testing.assert_allclose(matrix.recall, metrics.recall_score(reference, mapped, **options))
    present = matrix.present
    f1 = metrics.f1_score(reference, mapped, **options)
    np.testing.assert_allclose(matrix.f1[present], f1[present])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        iou = metrics.jaccard_score(reference, mapped, labels=range(4), average=None)
        kappa = metrics.cohen_kappa_score(reference, mapped)
    np.testing.assert_allclose(matrix.iou[present], iou[present])
    np.testing.assert_allclose(matrix.kappa, kappa, atol=1e-12)
    assert np.isnan(matrix.f1[~present]).all()
    assert np.isnan(matrix.iou[~present]).all()
    assert matrix.mean("f1") == pytest.approx(f1[present].mean())
    assert matrix.absent == (~present).sum()


def test_rows_are_the_map_in_every_format() -> None:
    """One water pixel on the map that is forest in truth must stand in water's row everywhere."""
    matrix = ConfusionMatrix.from_labels([0], [1], LEGEND)
    assert matrix.counts[0, 1] == 1
    document = json.loads(json.dumps(matrix.to_json()))
    assert document["axes"] == AXES == "rows = map, columns = reference"
    assert document["counts"][0][1] == 1
    rows = list(csv.reader(io.StringIO(matrix.to_csv())))
    assert rows[0][0] == AXES
    assert rows[1][0] == "water"
    assert rows[1][1 + rows[0][1:].index("forest")] == "1"
    assert matrix.table()[0]["mapped"] == 1
    assert matrix.table()[1]["reference"] == 1


def test_json_is_read_back() -> None:
    matrix = ConfusionMatrix.from_labels([0, 1, 2, 2], [0, 1, 1, 2], LEGEND)
    assert ConfusionMatrix.from_json(json.loads(json.dumps(matrix.to_json()))) == matrix


def test_transposed_json_is_refused() -> None:
    document = ConfusionMatrix.from_labels([0], [1], LEGEND).to_json()
    document["axes"] = "rows = reference, columns = map"
    with pytest.raises(LegendError, match=r"has the axes .* Expected .* transpose it"):
        ConfusionMatrix.from_json(document)


def test_absent_classes_are_named_and_left_out_of_means() -> None:
    matrix = ConfusionMatrix.from_labels([0, 0, 1, 3], [0, 1, 1, 0], LEGEND)
    assert math.isnan(matrix.f1[2])
    assert math.isnan(matrix.f1[3])
    assert matrix.users_accuracy[3] == 0
    assert matrix.classes_label == "2 classes (2 absent left out)"
    assert matrix.mean("producers_accuracy") == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert matrix.to_json()["classes"][2]["f1"] is None


def test_unlabelled_pairs_are_left_out() -> None:
    matrix = ConfusionMatrix.from_labels([0, -1, 1], [-1, 0, 1], LEGEND)
    assert matrix.total == 1


def test_matrices_of_one_legend_add_up() -> None:
    first = ConfusionMatrix.from_labels([0, 1], [0, 0], LEGEND)
    assert (first + first).total == 4
    other = ConfusionMatrix.from_labels([0], [0], Legend.from_names(["a", "b"]))
    with pytest.raises(LegendError, match=r"cannot be added\. Expected one legend"):
        first + other


def test_matrix_of_no_labels_has_no_scores() -> None:
    matrix = ConfusionMatrix.from_labels([], [], LEGEND)
    assert math.isnan(matrix.overall_accuracy)
    assert math.isnan(matrix.mean("iou"))


@pytest.mark.parametrize("labels", [([4], [0]), ([0], [7])])
def test_unknown_index_is_refused(labels: tuple[list[int], list[int]]) -> None:
    with pytest.raises(LegendError, match=r"A class index of \d was found\. Expected 0 to 3"):
        ConfusionMatrix.from_labels(*labels, LEGEND)


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(LegendError, match=r"shape \(2, 2\)\. Expected \(4, 4\)"):
        ConfusionMatrix(np.zeros((2, 2), dtype=np.int64), LEGEND)


def test_matrix_cannot_be_changed_behind_its_back() -> None:
    counts = np.eye(4, dtype=np.int64)
    matrix = ConfusionMatrix(counts, LEGEND)
    counts[0, 0] = 99
    assert matrix.counts[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        matrix.counts[0, 0] = 5
