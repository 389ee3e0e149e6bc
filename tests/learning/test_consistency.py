"""Loss terms beside the supervised one: distillation, consistency, regularization; and what each costs when it is off."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geopointseg.config import Config
from geopointseg.learning.consistency import (
    AveragedNetwork,
    ClassThresholds,
    cut_and_mix,
    effective_classes,
    has_collapsed,
)
from geopointseg.learning.objective import Objective, sharpen, split_labels
from geopointseg.learning.optional_terms import (
    affinity_loss,
    contradicts,
    entropy_loss,
    expansion_losses,
)
from geopointseg.sampling.augmentation import Batch


def test_average_follows_weights_and_statistics() -> None:
    network = torch.nn.BatchNorm2d(2)
    average = AveragedNetwork(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(5.0)
    average.update(network)
    keep = 2 / 11
    assert torch.allclose(average.network.weight, torch.full((2,), keep + 3 * (1 - keep)))
    assert torch.allclose(average.network.running_mean, torch.full((2,), 5 * (1 - keep)))
    for _ in range(200):
        average.update(network)
    assert torch.allclose(average.network.weight, torch.full((2,), 3.0), atol=1e-4)
    assert not any(p.requires_grad for p in average.network.parameters())


def test_thresholds_are_lower_for_classes_learnt_late() -> None:
    thresholds = ClassThresholds.initial(2)
    p = torch.zeros(1, 2, 4, 4)
    p[:, 0, :2], p[:, 1, :2] = 0.99, 0.01
    p[:, 0, 2:], p[:, 1, 2:] = 0.4, 0.6
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    first = thresholds.accept(p, valid, 0.9)
    assert first[0, :2].all()
    assert not first[0, 2:].any()
    for _ in range(200):
        last = thresholds.accept(p, valid, 0.9)
    assert last.all()
    assert thresholds.confidence[1] < thresholds.confidence[0]


def test_invalid_pixels_are_never_accepted() -> None:
    thresholds = ClassThresholds.initial(2)
    p = torch.softmax(torch.randn(1, 2, 4, 4) * 9, 1)
    assert not thresholds.accept(p, torch.zeros(1, 4, 4, dtype=torch.bool), 0.0).any()


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8))
@settings(max_examples=40, deadline=None)
def test_effective_classes_lie_between_one_and_all(shares) -> None:
    assert 0.999 <= effective_classes(torch.tensor(shares)) <= len(shares) + 1e-3


def test_collapse_is_noticed() -> None:
    expected = torch.tensor([0.4, 0.3, 0.3])
    assert has_collapsed(torch.tensor([0.99, 0.01, 0.0]), expected)
    assert not has_collapsed(torch.tensor([0.6, 0.2, 0.2]), expected)


def test_mixed_chips_come_from_two() -> None:
    image = torch.arange(3.0)[:, None, None, None].expand(3, 2, 16, 16).clone()
    mask = torch.arange(3)[:, None, None].expand(3, 16, 16).clone()
    cut_and_mix([image, mask], torch.tensor([0, 2]), torch.Generator().manual_seed(0))
    assert set(image[0].unique().tolist()) == {0.0, 2.0}
    assert image[1].unique().tolist() == [1.0]
    assert torch.equal(image[:, 0].long(), mask)


def test_sharpened_labels_sum_to_one_and_unknown_pixels_weigh_nothing() -> None:
    soft = torch.tensor([[0.7, 0.3], [0.5, 0.5], [0.0, 0.0]]).T[None, :, None]
    sharp, weight = sharpen(soft, 2.0, 1.0)
    assert torch.allclose(sharp.sum(1), torch.ones(1, 1, 3))
    assert sharp[0, 0, 0, 0] == pytest.approx(0.49 / 0.58, abs=1e-4)
    assert weight[0, 0].tolist() == pytest.approx([0.1187, 0.0, 0.0], abs=1e-3)


def test_points_and_grown_labels_are_told_apart() -> None:
    points, grown = split_labels(torch.tensor([-1, 0, 2, 3, 5]), 3)
    assert points.tolist() == [-1, 0, 2, -1, -1]
    assert grown.tolist() == [-1, -1, -1, 0, 2]


def test_contradiction_needs_a_sure_forest() -> None:
    forest = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.9, 0.1]]).T[None, :, None]
    taught = torch.tensor([[0.2, 0.8], [0.2, 0.8], [0.8, 0.2]]).T[None, :, None]
    assert contradicts(forest, taught)[0, 0].tolist() == [True, False, False]


class Constant(torch.nn.Module):
    """Predicts the same for every pixel."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor(scores))

    def forward(self, image):
        return self.bias[None, :, None, None].expand(len(image), 3, *image.shape[-2:])


def consistent(**teaching) -> Objective:
    settings = {"consistency_weight": 1.0, "consistency_start": 0.0, "consistency_ramp": 0.01}
    config = Config().updated({"teaching": {**settings, "threshold_start": 0.5, **teaching}})
    return Objective(config, torch.ones(3), torch.full((3,), 1 / 3))


def unlabelled_batch() -> Batch:
    return Batch(
        torch.randn(2, 2, 8, 8),
        torch.full((2, 8, 8), -1),
        torch.zeros(2, 8, 8),
        torch.ones(2, 8, 8, dtype=torch.bool),
    )


@pytest.mark.parametrize("kind", ["labels", "squares", "kl"])
def test_guard_stops_consistency_when_one_class_swallows_the_others(kind) -> None:
    objective, network = consistent(consistency=kind), Constant(9.0, 0.0, 0.0)
    average, generator = AveragedNetwork(network, 0.9), torch.Generator().manual_seed(0)
    batch = unlabelled_batch()
    taught = [
        "consistency" in objective(network, average, batch, 0.5, generator) for _ in range(200)
    ]
    assert taught[0]
    assert not taught[-1]
    assert objective.consistency.collapsed


def test_consistency_targets_are_labels_or_probabilities() -> None:
    network, teacher = Constant(2.0, 0.0, 0.0), Constant(0.0, 3.0, 0.0)
    p, q = (torch.softmax(n.bias.detach(), 0) for n in (network, teacher))
    expected = {
        "labels": -p[1].log(),
        "squares": (p - q).square().mean(),
        "kl": (q * (q / p).log()).sum(),
    }
    for kind, value in expected.items():
        objective, average = consistent(consistency=kind), AveragedNetwork(teacher, 0.9)
        losses = objective(network, average, unlabelled_batch(), 0.5, torch.Generator())
        assert losses["consistency"].item() == pytest.approx(value.item(), rel=1e-5)


def test_entropy_is_one_for_equal_probabilities_and_zero_for_certainty() -> None:
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    assert entropy_loss(torch.zeros(1, 3, 4, 4), valid).item() == pytest.approx(1)
    sure = torch.zeros(1, 3, 4, 4)
    sure[:, 0] = 100
    assert entropy_loss(sure, valid).item() == pytest.approx(0, abs=1e-6)


def test_affinity_punishes_borders_where_the_image_has_none() -> None:
    valid = torch.ones(1, 16, 16, dtype=torch.bool)
    logits = torch.zeros(1, 2, 16, 16)
    logits[:, 0, :, :8] = 50
    logits[:, 1, :, 8:] = 50
    flat = torch.zeros(1, 3, 16, 16)
    edged = flat.clone()
    edged[..., 8:] = 5
    assert affinity_loss(logits, flat, valid).item() > 0.02
    assert affinity_loss(logits, edged, valid).item() < 1e-6
    assert (
        affinity_loss(logits * 0 + 50 * torch.tensor([1.0, 0]).view(1, 2, 1, 1), flat, valid).item()
        < 1e-6
    )


def test_affinity_ignores_invalid_pixels() -> None:
    logits, image = torch.randn(1, 2, 16, 16), torch.zeros(1, 1, 16, 16)
    valid = torch.zeros(1, 16, 16, dtype=torch.bool)
    assert affinity_loss(logits, image, valid).item() == 0.0


TERMS = {
    "consistency": {"consistency_weight": 0.5, "consistency_start": 0.0},
    "grown": {"expansion": "region"},
    "dice": {"expansion": "region", "dice_weight": 0.5},
    "lovasz": {"expansion": "region", "lovasz_weight": 0.5},
    "affinity": {"affinity_weight": 0.5},
    "entropy": {"entropy_weight": 0.5},
}


@pytest.mark.parametrize("term", TERMS)
def test_every_optional_term_is_off_by_default_and_on_by_its_setting(term) -> None:
    network = Constant(2.0, 0.0, 0.0)
    batch = unlabelled_batch()
    batch.mask[0, :4] = 3  # a label that a point of class 0 was expanded to
    for teaching in ({}, TERMS[term]):
        objective = Objective(
            Config().updated({"teaching": teaching}), torch.ones(3), torch.full((3,), 1 / 3)
        )
        averaged = AveragedNetwork(network, 0.9)
        losses = objective(network, averaged, batch, 0.3, torch.Generator().manual_seed(0))
        assert (term in losses) == bool(teaching)
        assert set(losses) <= {"points", term, "grown"}


def test_terms_of_expanded_labels_fade_out() -> None:
    logits, grown = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    config = Config().updated({"teaching": {"expansion": "region", "expansion_until": 0.8}})
    early, late, end = (
        expansion_losses(logits, grown, config, torch.ones(3), progress).get("grown")
        for progress in (0.0, 0.6, 0.8)
    )
    assert late.item() == pytest.approx(early.item() / 2, rel=1e-5)
    assert end is None


def test_a_checkpoint_restores_the_consistency() -> None:
    objective, other = consistent(), consistent()
    network = Constant(9.0, 0.0, 0.0)
    for _ in range(60):
        objective(
            network, AveragedNetwork(network, 0.9), unlabelled_batch(), 0.5, torch.Generator()
        )
    other.load_state(objective.state())
    mine, theirs = objective.consistency, other.consistency
    assert (theirs.collapsed, theirs.active_steps) == (mine.collapsed, 60)
    assert torch.equal(theirs.thresholds.histogram, mine.thresholds.histogram)
