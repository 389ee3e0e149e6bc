"""Held-out ground, scores, and the choice between members; chips, ground and budget that feed them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss

from geopointseg.config import Config, SamplingConfig
from geopointseg.labels.sparse_mask import rasterize_points
from geopointseg.learning.budget import TrainingBudget, most_steps
from geopointseg.learning.selection import (
    Choice,
    apply_rule,
    choose,
    hold_out,
    score,
    weigh_equally,
    weigh_on_coarse_imagery,
    weigh_on_frozen_encoder,
)
from geopointseg.learning.training_imagery import TrainingImagery, read_training_imagery
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene
from geopointseg.sampling.patch import LabelledPixels
from tests.learning.conftest import make_patch


def make_imagery(
    seed: int = 0, count: int = 90, size: int = 120, classes: int = 3
) -> TrainingImagery:
    generator = np.random.default_rng(seed)
    flat = generator.choice(size * size, count, replace=False)
    row, col = np.unravel_index(flat, (size, size))
    labelled = LabelledPixels(
        np.zeros(count, np.int64), row.astype(np.int64), col.astype(np.int64),
        generator.integers(0, classes, count), np.ones(count, np.float32),
    )  # fmt: skip
    image = generator.normal(50, 9, (2, size, size)).astype(np.float32)
    return TrainingImagery((make_patch(image),), labelled, classes, 1.0)


@given(st.integers(0, 1000), st.integers(12, 200), st.floats(0.1, 0.4))
@settings(max_examples=25, deadline=None)
def test_held_out_pixels_leave_every_class_to_learn_from(seed, count, share) -> None:
    imagery = make_imagery(seed, count)
    held = hold_out(imagery, imagery.labelled, share, seed)
    counts = imagery.labelled.counts(3)
    out = imagery.labelled.select(held).counts(3)
    assert np.all(counts - out >= np.minimum(counts, 2))
    if held.any():
        assert 0.5 * share <= held.mean() <= 1.6 * share
        assert np.any(out >= 1)


def test_every_class_that_lies_in_several_places_is_held_out_in_part() -> None:
    for seed in range(5):
        imagery = make_imagery(seed, 120)
        held = hold_out(imagery, imagery.labelled, 0.2, seed)
        assert np.all(imagery.labelled.select(held).counts(3) >= 1)


def test_five_clicks_in_the_only_pond_leave_the_rest_to_decide() -> None:
    imagery = make_imagery(0, 120, size=400)
    labels = imagery.labelled
    others = labels.select(labels.class_index < 2)
    pond = replace(
        others.select(np.arange(len(others)) < 5),
        row=np.full(5, 301), col=np.array([310, 311, 312, 313, 314]),
        class_index=np.full(5, 2),
    )  # fmt: skip
    held = hold_out(imagery, LabelledPixels.concatenate([others, pond]), 0.2, 0)
    assert 0.1 <= held[:-5].mean() <= 0.32
    assert (~held[-5:]).sum() >= 2


def test_held_out_pixels_lie_in_blocks() -> None:
    imagery = make_imagery(count=300)
    held = hold_out(imagery, imagery.labelled, 0.2, 0)
    places = np.column_stack([imagery.labelled.row, imagery.labelled.col]).astype(float)
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    same = held[distance.argmin(1)] == held
    assert held.any()
    assert same.mean() > 0.8


def test_nothing_is_held_out_of_two_points_a_class() -> None:
    imagery = make_imagery(count=6)
    assert not hold_out(imagery, imagery.labelled, 0.2, 0).any()


def test_scores_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 200)
    p = generator.dirichlet([2, 2, 2], 200).astype(np.float32).clip(0.02)
    p /= p.sum(1, keepdims=True)
    result = score(p, truth)
    assert result.mean_f1 == pytest.approx(f1_score(truth, p.argmax(1), average="macro"))
    weight = 1 / np.bincount(truth)[truth]
    assert result.loss == pytest.approx(log_loss(truth, p, sample_weight=weight), rel=1e-4)


def probabilities(truth: np.ndarray, skill: float, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 1, (len(truth), 3))
    logits[np.arange(len(truth)), truth] += skill
    p = np.exp(logits)
    return (p / p.sum(1, keepdims=True)).astype(np.float32)


def test_the_better_member_wins_and_equals_share() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 300)
    good, poor = probabilities(truth, 4, 2), probabilities(truth, 0.0, 3)
    assert choose({"forest": good, "network": poor}, truth).weights == {"forest": 1.0}
    assert choose({"forest": poor, "network": good}, truth).weights == {"network": 1.0}
    both = choose({"forest": good, "network": probabilities(truth, 4, 5)}, truth)
    assert both.weights == {"forest": 0.5, "network": 0.5}
    assert "Forest and network are kept, weighted 0.50 to 0.50" in both.reason
    assert both.scores["together"].loss < both.scores["forest"].loss
    assert Choice.from_json(both.to_json()).to_json() == both.to_json()


def test_three_members_share_by_their_skill() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 300)
    members = {k: probabilities(truth, 4, n) for n, k in enumerate(("forest", "linear", "network"))}
    choice = choose(members, truth)
    assert choice.weights == dict.fromkeys(members, pytest.approx(1 / 3))
    assert choice.reason.startswith("Forest, linear and network are kept")
    members["linear"] = probabilities(truth, -1.0, 9)
    assert choose(members, truth).weights == {"forest": 0.5, "network": 0.5}


@pytest.mark.parametrize(("strength", "weight"), [(1.5, 0.25), (2.5, 0.5)])
def test_a_member_of_some_skill_keeps_a_weight_that_its_errors_earn(strength, weight) -> None:
    truth = np.random.default_rng(1).integers(0, 3, 40)
    best, other = probabilities(truth, 3, 2), probabilities(truth, strength, 7)
    choice = choose({"forest": best, "network": other}, truth)
    assert choice.weights["network"] in (weight, pytest.approx(weight))


@pytest.mark.parametrize(
    ("count", "kept"), [(6, {"forest": 0.5, "linear": 0.5}), (600, {"forest": 1.0})]
)
def test_no_member_is_dropped_for_what_chance_explains(count, kept) -> None:
    truth = np.arange(count) % 3
    forest, linear = np.full((2, count, 3), 0.3, np.float32)
    forest[np.arange(count), truth] = 0.4
    linear[np.arange(count), truth] = np.where(np.arange(count) % 6 < 2, 0.05, 0.4)
    members = {"forest": forest, "linear": linear / linear.sum(axis=1, keepdims=True)}
    assert choose(members, truth).weights == kept


def test_a_mixture_that_is_plainly_worse_than_its_best_member_is_not_kept() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 3000)
    best = probabilities(truth, 6, 2)
    choice = choose({"forest": best, "linear": probabilities(truth, 2.0, 7)}, truth)
    assert choice.weights == {"forest": 1.0}
    assert "The forest alone is kept" in choice.reason
    assert "a mixture loses 0." in choice.reason


def test_a_single_member_is_kept_with_its_score() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 30)
    choice = choose({"linear": probabilities(truth, 2, 2)}, truth)
    assert choice.weights == {"linear": 1.0}
    assert choice.reason.startswith(
        "The linear model alone is kept: on 30 held-out labelled pixels"
    )


def test_flat_probabilities_earn_nothing_by_softening_a_forest() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 150)
    overconfident = probabilities(truth, 2, 2) ** 6
    overconfident /= overconfident.sum(1, keepdims=True)
    flat = np.full((150, 3), 1 / 3, np.float32)
    assert choose({"forest": overconfident, "network": flat}, truth).weights == {"forest": 1.0}


def test_large_scenes_are_kept_in_part_with_labels_first(place) -> None:
    scene = Scene.open(place.path)
    mask = rasterize_points(place.points.select(np.arange(60) < 4), scene.grid)
    sampling = SamplingConfig(chip_size=8, area_mpx=0.006)
    imagery = read_training_imagery(
        [scene], [mask], classes=3, sampling=sampling, seed=0, reporter=Reporter()
    )
    assert sum(p.valid.size for p in imagery.patches) <= 7000
    assert len(imagery.labelled) >= 1
    whole = scene.read()
    for patch in imagery.patches:
        rows, cols = patch.shape
        expected = whole.image[:, patch.row : patch.row + rows, patch.col : patch.col + cols]
        assert np.array_equal(patch.image, expected)


def test_normalization_is_that_of_valid_pixels(place) -> None:
    scene = Scene.open(place.path)
    mask = rasterize_points(place.points, scene.grid)
    imagery = read_training_imagery(
        [scene],
        [mask],
        classes=3,
        sampling=Config().on_device("cpu").sampling,
        seed=0,
        reporter=Reporter(),
    )
    chip = scene.read()
    np.testing.assert_allclose(
        imagery.normalization().mean, chip.image[:, chip.valid].mean(1), rtol=1e-5
    )
    np.testing.assert_allclose(
        imagery.normalization().std, chip.image[:, chip.valid].std(1), rtol=1e-4
    )


def test_budget_in_seconds_follows_the_clock_but_not_pauses() -> None:
    now = [0.0]
    budget = TrainingBudget(seconds=100, clock=lambda: now[0])
    now[0] = 40.0
    assert budget.progress(7) == pytest.approx(0.4)
    with budget.paused():
        now[0] = 90.0
    assert budget.progress(7) == pytest.approx(0.4)
    state = budget.state()
    now[0] = 1000.0
    resumed = TrainingBudget(seconds=100, clock=lambda: now[0])
    resumed.load_state(state)
    now[0] = 1010.0
    assert resumed.progress(7) == pytest.approx(0.5)


def test_a_budget_in_seconds_ends_after_its_most_steps() -> None:
    now = [0.0]
    budget = TrainingBudget(seconds=100, most_steps=40, clock=lambda: now[0])
    now[0] = 10.0
    assert budget.progress(2) == pytest.approx(0.1)
    assert budget.progress(20) == pytest.approx(0.5)
    assert budget.progress(40) == 1.0
    assert TrainingBudget(steps=80, most_steps=40).progress(40) == 0.5


def test_most_steps_grow_with_the_ground(place) -> None:
    small = Config().on_device("cpu")
    imagery = read_training_imagery(
        [Scene.open(place.path)], [rasterize_points(place.points, Scene.open(place.path).grid)], classes=3, sampling=small.sampling, seed=0, reporter=Reporter()
    )  # fmt: skip
    patches = imagery.patches
    assert most_steps(small, patches) == 2000
    often = small.updated({"optimization": {"most_passes": 1e6}})
    pixels = sum(int(patch.valid.sum()) for patch in patches)
    assert most_steps(often, patches) == round(1e6 * pixels / (8 * 96**2))
    assert most_steps(small.updated({"optimization": {"most_passes": 0}}), patches) == 0


@pytest.mark.parametrize("steps", [49, 98, 103, 850, 2750])
def test_a_budget_in_steps_ends_after_them(steps) -> None:
    budget = TrainingBudget(steps=steps)
    assert budget.progress(steps - 1) < 1.0
    assert budget.progress(steps) == 1.0


def test_a_budget_changes_between_steps_and_minutes() -> None:
    now = [0.0]
    first = TrainingBudget(seconds=1000, clock=lambda: now[0])
    now[0] = 100.0
    first.skip_to(0.6, 300)
    resumed = TrainingBudget(steps=1000, clock=lambda: now[0])
    resumed.load_state(first.state())
    assert resumed.progress(300) == pytest.approx(0.6)
    again = TrainingBudget(seconds=1000, clock=lambda: now[0])
    again.load_state(resumed.state())
    assert again.progress(300) == pytest.approx(0.6)


def test_a_budget_begins_once() -> None:
    now = [50.0]
    budget = TrainingBudget(seconds=100, clock=lambda: now[0])
    budget.begin(80.0)
    now[0] = 106.0
    assert budget.progress(7) == pytest.approx(0.7)
    budget.begin(50.0)
    assert budget.progress(7) == pytest.approx(0.7)


def test_a_resumed_budget_goes_on_at_the_same_pace() -> None:
    now = [0.0]
    budget = TrainingBudget(seconds=100, clock=lambda: now[0])
    budget.begin(80.0)
    now[0] = 40.0
    resumed = TrainingBudget(seconds=100, clock=lambda: now[0])
    resumed.load_state(budget.state())
    resumed.begin(100.0)
    assert resumed.progress(7) == pytest.approx(0.5)
    now[0] = 80.0
    assert resumed.progress(7) == pytest.approx(1.0)


def test_known_weights_replace_those_by_skill() -> None:
    truth = np.tile(np.arange(3), 60)
    forest, linear, network = (probabilities(truth, 4, seed) for seed in (1, 2, 3))
    members = {"network": network, "forest": forest, "linear": linear}
    assert choose(members, truth).weights == pytest.approx(dict.fromkeys(members, 1 / 3))
    choice = choose(members, truth, prior=weigh_on_frozen_encoder)
    assert choice.weights == pytest.approx({"network": 0.8, "linear": 0.2})
    assert choice.reason.startswith(
        "Network and linear are kept, weighted 0.80 to 0.20: on 180 held-out"
    )
    assert choice.reason.endswith(
        "The forest is in reserve, because the mixture scores lower with it on other scenes."
    )
    fitted = choose({"forest": forest, "linear": linear}, truth, prior=weigh_on_frozen_encoder)
    assert fitted.weights == pytest.approx({"forest": 1 / 3, "linear": 2 / 3})
    without_network = {"forest": forest, "linear": probabilities(truth, 1, 2)}
    choice = choose(without_network, truth, prior=weigh_on_coarse_imagery)
    assert choice.weights == pytest.approx({"forest": 2 / 3, "linear": 1 / 3})
    assert choose(without_network, truth).weights == {"forest": 1.0}


def test_with_known_weights_the_best_member_is_not_kept_alone_for_scoring_higher_than_the_mixture() -> (
    None
):
    truth = np.tile(np.arange(3), 200)
    members = {"network": probabilities(truth, 30, 3), "linear": probabilities(truth, 6, 2)}
    assert choose(members, truth).weights == {"network": 1.0}
    choice = choose(members, truth, prior=weigh_on_frozen_encoder)
    assert choice.weights == pytest.approx({"network": 0.8, "linear": 0.2})
    assert "together they lose" in choice.reason


def test_a_reserve_takes_part_where_it_is_better_by_much() -> None:
    truth = np.tile(np.arange(3), 60)
    poor = {"network": probabilities(truth, 0.3, 1), "linear": probabilities(truth, 0.3, 2)}
    forest = probabilities(truth, 60, 3)
    choice = choose({**poor, "forest": forest}, truth, prior=weigh_on_frozen_encoder)
    assert choice.weights == {"forest": 1.0}
    kept = choose({**poor, "forest": probabilities(truth, 0.4, 3)}, truth, prior=weigh_on_frozen_encoder)  # fmt: skip
    assert kept.weights == pytest.approx({"network": 0.8, "linear": 0.2})


@pytest.mark.parametrize(
    ("rule", "kinds", "expected"),
    [
        (weigh_on_frozen_encoder, ["linear", "forest"], {"linear": 2 / 3, "forest": 1 / 3}),
        (weigh_on_frozen_encoder, ["network", "forest"], {"network": 1.0}),
        (weigh_on_coarse_imagery, ["network", "linear", "forest"], {"network": 0.25, "linear": 0.25, "forest": 0.5}),
        (weigh_equally, ["a", "b"], {"a": 0.5, "b": 0.5}),
        (lambda _: {"a": 3.0}, ["a", "b"], {"a": 0.75, "b": 0.25}),
    ],
)  # fmt: skip
def test_rules_give_weights_of_the_kinds_that_there_are(rule, kinds, expected) -> None:
    assert apply_rule(rule, kinds) == pytest.approx(expected)


def test_with_known_weights_a_member_that_lowers_the_score_by_much_is_left_out() -> None:
    truth = np.tile(np.arange(3), 60)
    members = {"forest": probabilities(truth, 4, 1), "linear": probabilities(truth, 4, 2)}
    wrong = np.zeros((len(truth), 3), np.float32)
    wrong[:, 0] = 1.0
    choice = choose({**members, "network": wrong}, truth, prior=weigh_on_frozen_encoder)
    assert choice.weights == pytest.approx({"forest": 1 / 3, "linear": 2 / 3})
    assert choice.reason.endswith("Without the network the log loss is lower by more than 0.3.")
    alone = choose(
        {"linear": members["linear"], "network": wrong}, truth, prior=lambda _: {"network": 9.0}
    )
    assert alone.weights == {"linear": 1.0}
    assert alone.reason.endswith("; without the network the log loss is lower by more than 0.3.")
    assert choose({"network": wrong}, truth, prior=weigh_on_frozen_encoder).weights == {
        "network": 1.0
    }
