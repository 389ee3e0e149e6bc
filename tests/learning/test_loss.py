"""Losses against torch's own, against formulas written out, and on batches without a label."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geopointseg.errors import ModelError
from geopointseg.learning.loss import (
    PartialFocalLoss,
    class_weights,
    consistency_loss,
    kl_divergence,
    lovasz_softmax_loss,
    partial_dice_loss,
    partial_focal_loss,
    soft_cross_entropy,
    soft_dice,
)

SHAPES = [(), (7,), (5, 6), (3, 4, 5)]


def make(shape: tuple[int, ...], classes: int = 4, seed: int = 0, share: float = 0.4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((3, classes, *shape), generator=generator) * 2
    target = torch.randint(0, classes, (3, *shape), generator=generator)
    hidden = torch.rand((3, *shape), generator=generator) > share
    hidden.view(-1)[0] = False
    target[hidden] = -1
    return logits.requires_grad_(), target


def written_out(logits: Tensor, target: Tensor, gamma: float, w: Tensor, v: Tensor) -> float:
    total = weight = 0.0
    flat = logits.detach().double().movedim(1, -1).reshape(-1, logits.shape[1])
    for scores, y, value in zip(
        flat, target.reshape(-1).tolist(), v.reshape(-1).tolist(), strict=True
    ):
        if y >= 0:
            p = torch.softmax(scores, 0)[y].item()
            total += value * w[y].item() * (1 - p) ** gamma * -torch.tensor(p).log().item()
            weight += value * w[y].item()
    return total / weight


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_gamma_zero_is_cross_entropy_to_the_bit(shape, smoothing, weighted) -> None:
    logits, target = make(shape)
    weight = torch.tensor([0.5, 1.0, 2.0, 0.3]) if weighted else None
    ours = partial_focal_loss(logits, target, class_weight=weight, label_smoothing=smoothing)
    theirs = F.cross_entropy(logits, target, weight, ignore_index=-1, label_smoothing=smoothing)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_general_path_agrees_with_cross_entropy(shape, smoothing) -> None:
    logits, target = make(shape)
    weight = torch.tensor([0.5, 1.0, 2.0, 0.3])
    ours = partial_focal_loss(
        logits,
        target,
        class_weight=weight,
        label_smoothing=smoothing,
        pixel_weight=torch.ones(target.shape),
    )
    theirs = F.cross_entropy(logits, target, weight, ignore_index=-1, label_smoothing=smoothing)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_is_the_formula(shape, gamma) -> None:
    logits, target = make(shape, seed=3)
    w = torch.tensor([0.5, 1.0, 2.0, 0.3])
    v = torch.rand(target.shape) + 0.1
    ours = partial_focal_loss(logits, target, gamma=gamma, class_weight=w, pixel_weight=v)
    assert ours.item() == pytest.approx(written_out(logits, target, gamma, w, v), rel=1e-4)


@given(st.integers(0, 10_000), st.floats(0, 3), st.floats(0.05, 0.9))
@settings(max_examples=30, deadline=None)
def test_unlabelled_pixels_neither_count_nor_get_a_gradient(seed, gamma, share) -> None:
    logits, target = make((6, 6), seed=seed, share=share)
    loss = partial_focal_loss(logits, target, gamma=gamma)
    (gradient,) = torch.autograd.grad(loss, logits)
    unlabelled = (target == -1)[:, None].expand_as(gradient)
    assert torch.all(gradient[unlabelled] == 0)
    changed = torch.where(unlabelled, torch.tensor(50.0), logits.detach())
    assert partial_focal_loss(changed, target, gamma=gamma).item() == pytest.approx(
        loss.item(), rel=1e-5
    )


def test_denominator_runs_over_the_whole_batch() -> None:
    logits = torch.zeros(2, 2, 4)
    logits[1, 0] = 3.0
    target = torch.tensor([[0, 0, 0, -1], [0, -1, -1, -1]])
    each = [F.cross_entropy(logits[i : i + 1], target[i : i + 1], ignore_index=-1) for i in (0, 1)]
    whole = partial_focal_loss(logits, target)
    assert whole.item() == pytest.approx((3 * each[0] + each[1]).item() / 4)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_without_labels_gives_zero_with_a_gradient(shape) -> None:
    logits, target = make(shape)
    target[:] = -1
    soft = torch.full(logits.shape, 0.25)
    none = torch.zeros(target.shape)
    losses = [
        partial_focal_loss(logits, target, gamma=1.0),
        partial_focal_loss(logits, target),
        partial_dice_loss(logits, target),
        lovasz_softmax_loss(logits, target),
        soft_cross_entropy(logits, soft, pixel_weight=none),
        kl_divergence(logits, soft, pixel_weight=none),
        consistency_loss(logits, soft, pixel_weight=none),
    ]
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0.0
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_certain_predictions_have_finite_gradients(gamma) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = partial_focal_loss(logits, torch.tensor([0, 0]), gamma=gamma)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_is_not_a_sum_of_sigmoid_focals() -> None:
    logits = torch.log(torch.tensor([[0.2, 0.3, 0.5]]))
    ours = partial_focal_loss(logits, torch.tensor([0]), gamma=2.0)
    assert ours.item() == pytest.approx(0.8**2 * -torch.tensor(0.2).log().item(), rel=1e-5)


def test_module_is_the_function() -> None:
    logits, target = make((5, 6))
    weight = torch.tensor([0.5, 1.0, 2.0, 0.3])
    module = PartialFocalLoss(1.5, weight, 0.1)
    expected = partial_focal_loss(
        logits, target, gamma=1.5, class_weight=weight, label_smoothing=0.1
    )
    assert torch.equal(module(logits, target), expected)
    assert "gamma=1.5" in repr(module)


def test_wrong_class_index_is_refused_in_words() -> None:
    with pytest.raises(
        ModelError, match=r"class index 255\. Expected 0 to 1, or -1 where unlabelled"
    ):
        partial_focal_loss(torch.zeros(1, 2, 3), torch.tensor([[0, 255, -1]]))


def test_wrong_shape_is_refused_in_words() -> None:
    with pytest.raises(ModelError, match=r"shape \(1, 4\).*Expected a target of \(1, 3\)"):
        partial_focal_loss(torch.zeros(1, 2, 3), torch.zeros(1, 4, dtype=torch.long))


def test_dice_is_zero_when_right_and_near_one_when_wrong() -> None:
    target = torch.tensor([[0, 1, 0, 1, -1] * 40])
    right = F.one_hot(target.clamp(min=0), 2).movedim(-1, 1).float() * 100
    assert partial_dice_loss(right, target).item() == pytest.approx(0, abs=1e-6)
    assert partial_dice_loss(-right, target).item() > 0.95


def test_dice_of_the_worked_example_has_squares_in_the_denominator() -> None:
    p = torch.tensor(
        [
            [0.01, 0.03, 0.02, 0.02],
            [0.05, 0.12, 0.09, 0.07],
            [0.89, 0.85, 0.88, 0.91],
            [0.99, 0.97, 0.95, 0.97],
        ]
    ).flatten()
    target = torch.tensor([0] * 8 + [1] * 8)
    membership = F.one_hot(target, 2).float()
    dice = soft_dice(torch.stack([1 - p, p], dim=1), membership)
    assert (p * target).sum().item() == pytest.approx(7.41, abs=1e-5)
    assert dice[1].item() == pytest.approx(14.82 / 14.9132, abs=1e-6)
    assert round(1 - dice[1].item(), 5) == 0.00625

    logits = torch.log(torch.stack([1 - p, p]))[None]
    loss = partial_dice_loss(logits, target[None], smooth=0.0)
    assert loss.item() == pytest.approx(1 - dice.mean().item(), abs=1e-6)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_dice_counts_a_pixel_of_weight_two_like_two_pixels(smooth) -> None:
    logits = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    target, weight = torch.tensor([[0, 1, 2, -1]]), torch.tensor([[2.0, 1.0, 1.0, 9.0]])
    twice = [0, 0, 1, 2]
    weighted = partial_dice_loss(logits, target, pixel_weight=weight, smooth=smooth)
    repeated = partial_dice_loss(logits[..., twice], target[:, twice], smooth=smooth)
    assert weighted.item() == pytest.approx(repeated.item(), abs=1e-6)


def test_lovasz_of_hard_predictions_is_the_jaccard_loss() -> None:
    from sklearn.metrics import jaccard_score

    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (1, 200), generator=generator)
    predicted = torch.randint(0, 3, (1, 200), generator=generator)
    logits = F.one_hot(predicted, 3).movedim(-1, 1).float() * 200
    expected = 1 - jaccard_score(target[0].numpy(), predicted[0].numpy(), average="macro")
    assert lovasz_softmax_loss(logits, target).item() == pytest.approx(expected, rel=1e-4)


def test_soft_cross_entropy_of_hard_labels_is_cross_entropy() -> None:
    logits, target = make((5, 6), share=1.1)
    soft = F.one_hot(target, 4).movedim(-1, 1).float()
    ours = soft_cross_entropy(logits, soft)
    assert ours.item() == pytest.approx(F.cross_entropy(logits, target).item(), rel=1e-5)
    assert kl_divergence(logits, soft).item() == pytest.approx(ours.item(), rel=1e-5)


def test_kl_agrees_with_torch_and_shares_its_gradient_with_cross_entropy() -> None:
    logits, _ = make((5, 6))
    soft = torch.softmax(torch.randn(logits.shape), 1)
    ours = kl_divergence(logits, soft)
    theirs = F.kl_div(F.log_softmax(logits, 1), soft, reduction="sum") / (3 * 5 * 6)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4)
    gradients = [
        torch.autograd.grad(f(logits, soft), logits)[0] for f in (kl_divergence, soft_cross_entropy)
    ]
    assert torch.allclose(*gradients, atol=1e-7)


@pytest.mark.parametrize(("kind", "reference"), [("mse", F.mse_loss), ("l1", F.l1_loss)])
def test_consistency_is_the_distance_of_probabilities(kind, reference) -> None:
    logits, _ = make((5, 6))
    soft = torch.softmax(torch.randn(logits.shape), 1)
    ours = consistency_loss(logits, soft, kind=kind)
    assert ours.item() == pytest.approx(reference(torch.softmax(logits, 1), soft).item(), rel=1e-5)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=9), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_class_weights_stay_in_range_and_favour_the_rare(counts, power) -> None:
    weights = class_weights(torch.tensor(counts), power=power).tolist()
    for count, weight in zip(counts, weights, strict=True):
        assert (weight == 0.0) if count == 0 else (0.3 - 1e-6 <= weight <= 3.0 + 1e-6)
    pairs = [(c, w) for c, w in zip(counts, weights, strict=True) if c > 0]
    assert all(w1 >= w2 - 1e-6 for c1, w1 in pairs for c2, w2 in pairs if c1 <= c2)
