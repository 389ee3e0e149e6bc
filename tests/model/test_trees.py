"""Trees as arrays: the same answers as scikit-learn, and damaged files refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from geopointseg.errors import ModelError
from geopointseg.model.tree_table import TreeTable


def sample(seed: int = 0, count: int = 200, features: int = 6) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def fitted(kind: Any = RandomForestClassifier, classes: int = 4, features: int = 6) -> Any:
    samples = sample(features=features)
    labels = np.random.default_rng(1).integers(0, classes, len(samples))
    return kind(12, random_state=0, n_jobs=1).fit(samples, labels)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_answers_are_those_of_scikit_learn(kind: Any) -> None:
    model = fitted(kind)
    table = TreeTable.from_forest(model, 4)
    samples = sample(seed=3, count=10_000)
    np.testing.assert_allclose(
        table.probabilities(samples, jobs=2), model.predict_proba(samples), atol=1e-6
    )


def test_arrays_bring_back_the_same_answers() -> None:
    table = TreeTable.from_forest(fitted(), 4)
    again = TreeTable.from_arrays(table.to_arrays(), table.features)
    samples = sample(seed=4)
    np.testing.assert_array_equal(again.probabilities(samples), table.probabilities(samples))


def test_classes_without_samples_get_no_probability() -> None:
    labels = np.array([1, 4] * 100)
    model = RandomForestClassifier(5, random_state=0).fit(sample(), labels)
    probabilities = TreeTable.from_forest(model, 6).probabilities(sample(seed=5))
    assert probabilities.shape == (200, 6)
    assert (probabilities[:, [0, 2, 3, 5]] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_single_class_is_certain() -> None:
    model = RandomForestClassifier(3, random_state=0).fit(sample(), np.full(200, 2))
    probabilities = TreeTable.from_forest(model, 3).probabilities(sample(seed=6))
    np.testing.assert_allclose(probabilities, np.tile([0, 0, 1], (200, 1)), atol=1e-6)


def test_mixed_tables_are_the_weighted_mean() -> None:
    few, many = fitted(features=3), fitted(features=6)
    tables = [TreeTable.from_forest(few, 4), TreeTable.from_forest(many, 4)]
    samples = sample(seed=7)
    mixed = TreeTable.mixed(tables, [0.25, 0.75]).probabilities(samples)
    expected = 0.25 * few.predict_proba(samples[:, :3]) + 0.75 * many.predict_proba(samples)
    np.testing.assert_allclose(mixed, expected, atol=1e-6)


def test_tables_without_say_are_left_out() -> None:
    tables = [TreeTable.from_forest(fitted(features=f), 4) for f in (3, 6)]
    mixed = TreeTable.mixed(tables, [1.0, 0.0])
    assert (mixed.features, len(mixed.weight)) == (3, 12)


def test_missing_arrays_are_named() -> None:
    arrays = TreeTable.from_forest(fitted(), 4).to_arrays()
    del arrays["left"]
    with pytest.raises(ModelError, match=r"lacks the arrays left\. Expected first, left, right"):
        TreeTable.from_arrays(arrays, 6)


@pytest.mark.parametrize(
    ("name", "wrong"), [("left", 9999), ("right", 0), ("feature", 77), ("value", np.nan)]
)
def test_damaged_arrays_are_refused(name: str, wrong: float) -> None:
    arrays = {k: v.copy() for k, v in TreeTable.from_forest(fitted(), 4).to_arrays().items()}
    arrays[name][0] = wrong
    with pytest.raises(ModelError, match=r"do not form trees.*copy the model folder again"):
        TreeTable.from_arrays(arrays, 6)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("options", [{}, {"max_depth": 1}, {"max_depth": 3}, {"bootstrap": False}])
def test_visiting_all_nodes_equals_walking(kind: Any, options: dict[str, Any]) -> None:
    samples = sample(seed=8, count=20_001)
    labels = np.random.default_rng(9).integers(0, 5, 300)
    model = kind(300, random_state=0, **options).fit(samples[:300], labels)
    table = TreeTable.from_forest(model, 5)
    visited, walked = table._evaluate(samples, 2), table._walk(samples, 2)
    assert visited.shape == walked.shape == (20_001, 5)
    np.testing.assert_allclose(visited, walked, atol=5e-6)


def test_thresholds_that_32_bits_cannot_hold() -> None:
    samples = np.linspace(0.1, 0.1 + 1e-6, 200, dtype=np.float32)[:, None]
    labels = np.random.default_rng(0).integers(0, 3, 200)
    table = TreeTable.from_forest(
        RandomForestClassifier(20, random_state=0).fit(samples, labels), 3
    )
    np.testing.assert_allclose(table._evaluate(samples, 1), table._walk(samples, 1), atol=1e-6)


def test_trees_of_different_say_and_size_are_visited_alike() -> None:
    stump = RandomForestClassifier(3, random_state=0).fit(sample(), np.full(200, 2))
    tables = [TreeTable.from_forest(m, 4) for m in (fitted(features=3), stump, fitted())]
    table = TreeTable.mixed(tables, [0.2, 0.3, 0.5])
    samples = sample(seed=10, count=500)
    np.testing.assert_allclose(table._evaluate(samples, 2), table._walk(samples, 1), atol=1e-6)


def test_large_trees_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    table = TreeTable.from_forest(fitted(), 4)
    called = []
    for name in ("_evaluate", "_walk"):
        monkeypatch.setattr(TreeTable, name, lambda *_, name=name: called.append(name))
    many, few = sample(count=10_000), sample(count=10)
    table.probabilities(many)
    table.probabilities(few)
    monkeypatch.setattr("geopointseg.model.tree_table.LARGEST_MEAN_NODES", 3)
    table.probabilities(many)
    assert called == ["_evaluate", "_walk", "_walk"]
