"""Loss terms that are off by default, because no ablation shows a gain from them.

Each has a weight in ``[teaching]``, so each can be a factor of a study. `Objective` adds them to the supervised and the
distillation losses through three calls: `Consistency`, `expansion_losses` and `regularization_losses`.

============== ============================================================================================
term           setting in ``[teaching]``
============== ============================================================================================
consistency    ``consistency_weight``: agreement with the averaged network, with `cut_and_mix` of chips
grown          ``expansion``: cross-entropy on labels that points were expanded to (superpixels, regions)
dice, lovasz   ``dice_weight``, ``lovasz_weight``: region losses on those labels
affinity       ``affinity_weight``: neighbours of similar values have the same class
entropy        ``entropy_weight``: confident predictions
============== ============================================================================================

The ablation over two data sets and three seeds gave, in points of mean F1 with the standard error: consistency -0.3 (0.9),
grown regions -2.6 (1.5), superpixels -2.6 (2.6), affinity -3.9 (2.3), entropy -1.8 (2.0).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from geopointseg.config import Config, TeachingConfig
from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.learning.consistency import ClassThresholds, cut_and_mix, has_collapsed
from geopointseg.learning.loss import (
    consistency_loss,
    kl_divergence,
    lovasz_softmax_loss,
    partial_dice_loss,
    partial_focal_loss,
)
from geopointseg.sampling.augmentation import Batch

COLLAPSE_CHECK_AFTER = 50
"""Steps with consistency before pseudo-labels are checked for collapse onto few classes."""
TOLERANCE_OF_TEACHER, TOLERANCE_OF_POINTS = 0.4, 0.15
"""Pseudo-labels have collapsed below this share of the expected class diversity. The expected shares are those
of the teachers' predictions, or those of the points, which are distributed more evenly over the classes than the pixels."""
CONFIDENT_TEACHER = 0.8
"""Where a teacher gives another class at least this probability, a pseudo-label is not used."""


@dataclass
class Consistency:
    """Consistency of the network with its moving average, stopped when pseudo-labels collapse onto few classes.

    Parameters
    ----------
    settings
        Weight, kind, schedule and thresholds.
    classes
        Number of classes.
    thresholds
        Confidence that the averaged network needs for a pseudo-label, per class.
    collapsed
        Whether pseudo-labels collapsed, which ends consistency.
    active_steps
        Steps in which consistency took part.
    """

    settings: TeachingConfig
    classes: int
    thresholds: ClassThresholds = field(init=False)
    collapsed: bool = False
    active_steps: int = 0

    def __post_init__(self) -> None:
        self.thresholds = ClassThresholds.initial(self.classes)

    def weight(self, progress: float) -> float:
        """Return the weight of the term at a used share of the budget, 0..1."""
        settings = self.settings
        if self.collapsed or settings.consistency_weight == 0:
            return 0.0
        ramp = max(settings.consistency_ramp - settings.consistency_start, 1e-6)
        share = (progress - settings.consistency_start) / ramp
        return settings.consistency_weight * min(max(share, 0.0), 1.0)

    def mix(self, batch: Batch, targets: Tensor | None, generator: Generator) -> None:
        """Mix chips without points by `cut_and_mix`, in place; nothing happens without soft targets.

        Parameters
        ----------
        batch
            Augmented chips.
        targets
            The averaged network's probabilities, ``(sample, class, row, col)``, or None.
        generator
            Decides which chips are mixed, and where.
        """
        assert batch.mask is not None  # noqa: S101
        if self.settings.cutmix == 0 or (targets is None and batch.soft is None):
            return
        free = (batch.mask == UNLABELLED).flatten(1).all(1).cpu()
        drawn = torch.rand(len(free), generator=generator) < self.settings.cutmix
        chips = (free & drawn).nonzero().flatten()
        maps = [batch.image, batch.valid, batch.soft, targets]
        cut_and_mix([m for m in maps if m is not None], chips, generator)

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        batch: Batch,
        progress: float,
        expected: Tensor,
        *,
        expected_from_teacher: bool,
    ) -> Tensor:
        """Return the loss, before `weight`, and update thresholds and the collapse check.

        Parameters
        ----------
        logits
            Of the network, ``(sample, class, row, col)``.
        targets
            Probabilities of the averaged network, of the same shape.
        batch
            Augmented chips.
        progress
            Used share of the budget, 0..1.
        expected
            Expected share of each class in the map, ``(class,)``.
        expected_from_teacher
            Whether ``expected`` comes from the teachers' predictions, not from the points.
        """
        assert batch.valid is not None  # noqa: S101
        assert batch.mask is not None  # noqa: S101
        low, high = self.settings.threshold_start, self.settings.threshold_end
        accepted = self.thresholds.accept(targets, batch.valid, low + (high - low) * progress)
        accepted &= (batch.mask < 0) | (batch.mask >= self.classes)
        if batch.soft is not None:
            accepted &= ~contradicts(batch.soft, targets)
        self._check_collapse(
            expected, TOLERANCE_OF_TEACHER if expected_from_teacher else TOLERANCE_OF_POINTS
        )
        if self.settings.consistency != "labels":
            distance = kl_divergence if self.settings.consistency == "kl" else consistency_loss
            return distance(logits, targets, pixel_weight=batch.valid.to(logits))
        label = torch.where(accepted, targets.argmax(dim=1), UNLABELLED)
        share = accepted.sum() / batch.valid.sum().clamp(min=1)
        return partial_focal_loss(logits, label) * share

    def _check_collapse(self, expected: Tensor, tolerance: float) -> None:
        self.active_steps += 1
        if self.active_steps > COLLAPSE_CHECK_AFTER:
            self.collapsed = has_collapsed(self.thresholds.histogram, expected, tolerance)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "confidence": self.thresholds.confidence,
            "histogram": self.thresholds.histogram,
            "collapsed": self.collapsed,
            "taught_steps": self.active_steps,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.thresholds = replace(
            self.thresholds, confidence=state["confidence"], histogram=state["histogram"]
        )
        self.collapsed = bool(state["collapsed"])
        self.active_steps = int(state["taught_steps"])


def contradicts(teacher: Tensor, targets: Tensor, confident: float = CONFIDENT_TEACHER) -> Tensor:
    """Return where a confident teacher predicts another class than the averaged network.

    Parameters
    ----------
    teacher, targets
        Probabilities of the teacher and of the averaged network, ``(sample, class, row, col)``.
    confident
        Least probability of the teacher's class.

    Returns
    -------
    Tensor
        bool ``(sample, row, col)``.
    """
    confidence, label = teacher.max(dim=1)
    return (confidence >= confident) & (label != targets.argmax(dim=1))


def expansion_losses(
    logits: Tensor, grown: Tensor, config: Config, class_weight: Tensor, progress: float
) -> dict[str, Tensor]:
    """Return the weighted losses on labels that points were expanded to, by name.

    Their weight decreases over the second half of ``expansion_until`` to 0.

    Parameters
    ----------
    logits
        ``(sample, class, row, col)``.
    grown
        int64 ``(sample, row, col)``: class index, -1 where no point was expanded to.
    config
        All settings.
    class_weight
        ``(class,)``.
    progress
        Used share of the budget, 0..1.
    """
    settings = config.teaching
    fade = 1.0 - progress / max(settings.expansion_until, 1e-6)
    if settings.expansion == "none" or fade <= 0:
        return {}
    weight = settings.expansion_weight * min(2 * fade, 1.0)
    gamma = config.loss.gamma
    focal = partial_focal_loss(logits, grown, gamma=gamma, class_weight=class_weight)
    losses = {"grown": weight * focal}
    if settings.dice_weight > 0:
        losses["dice"] = weight * settings.dice_weight * partial_dice_loss(logits, grown)
    if settings.lovasz_weight > 0:
        losses["lovasz"] = weight * settings.lovasz_weight * lovasz_softmax_loss(logits, grown)
    return losses


def regularization_losses(
    logits: Tensor, batch: Batch, settings: TeachingConfig
) -> dict[str, Tensor]:
    """Return the weighted losses that need no label, by name.

    Parameters
    ----------
    logits
        ``(sample, class, row, col)``.
    batch
        Augmented chips.
    settings
        The weights.
    """
    assert batch.valid is not None  # noqa: S101
    losses = {}
    if settings.affinity_weight > 0:
        affinity = affinity_loss(logits, batch.image, batch.valid, step=2)
        losses["affinity"] = settings.affinity_weight * affinity
    if settings.entropy_weight > 0:
        losses["entropy"] = settings.entropy_weight * entropy_loss(logits, batch.valid)
    return losses


def entropy_loss(logits: Tensor, valid: Tensor) -> Tensor:
    r"""Return the mean entropy of the predictions, :math:`-\sum_k p_k \log p_k / \log K`, on valid pixels.

    It favours confident predictions whether they are right or wrong, so it needs a supervised or distillation loss beside
    it.

    Parameters
    ----------
    logits
        ``(sample, class, row, col)``.
    valid
        bool ``(sample, row, col)``: pixels that show an image.

    Returns
    -------
    Tensor
        A scalar in 0..1.

    References
    ----------
    Y. Grandvalet and Y. Bengio, Semi-supervised learning by entropy minimization, NeurIPS 2004,
    https://papers.nips.cc/paper/2740.
    """
    log_p = F.log_softmax(logits, dim=1)
    entropy = -(log_p.exp() * log_p).sum(1) / torch.log(torch.tensor(float(logits.shape[1])))
    weight = valid.to(entropy)
    return (entropy * weight).sum() / weight.sum().clamp(min=1)


def affinity_loss(
    logits: Tensor,
    image: Tensor,
    valid: Tensor,
    *,
    reach_px: int = 3,
    sigma_px: float = 3.0,
    sigma_value: float = 0.5,
    step: int = 1,
) -> Tensor:
    r"""Return how often neighbours of similar values differ in class (a dense CRF restricted to a window).

    .. math::
        L = \frac{1}{N} \sum_i \sum_{j \in W(i)} k_{ij} \Bigl(1 - \sum_k p_{ik} p_{jk}\Bigr), \quad
        k_{ij} = \exp\Bigl(-\frac{d_{ij}^2}{2\sigma_d^2} - \frac{\|x_i - x_j\|^2}{2\sigma_v^2 B}\Bigr)

    Unlike tree and full CRF losses it needs no compiled kernels, so it runs on a CPU.

    Parameters
    ----------
    logits
        ``(sample, class, row, col)``.
    image
        Normalized ``(sample, band, row, col)``. The similarity of two pixels follows from their mean squared difference
        over the B bands.
    valid
        bool ``(sample, row, col)``; pairs with an invalid pixel do not count.
    reach_px
        Largest distance of neighbours along rows and columns, in pixels; every second one beyond the first ring.
    sigma_px
        Scale at which the weight of a pair decreases with distance, in pixels.
    sigma_value
        Scale at which it decreases with the difference in value, in standard deviations of the image.
    step
        Only every n-th pixel along rows and columns is used.

    Returns
    -------
    Tensor
        A scalar in 0..1; 0 where no pair is valid.

    References
    ----------
    A. Obukhov et al., Gated CRF loss for weakly supervised semantic image segmentation, 2019,
    doi:10.48550/arXiv.1906.04651.
    """
    p = F.softmax(logits, dim=1)[..., ::step, ::step]
    colors, usable = image[..., ::step, ::step], valid[..., ::step, ::step]
    total, pairs = p.new_zeros(()), p.new_zeros(())
    for down, right in _half_plane(reach_px):
        here, there = _shifted(p.shape[-2:], down, right)
        distance = (colors[here] - colors[there]).square().mean(1) / (2 * sigma_value**2)
        nearness = (down**2 + right**2) * step**2 / (2 * sigma_px**2)
        both = (usable[here[0], *here[2:]] & usable[there[0], *there[2:]]).to(p)
        kernel = torch.exp(-distance - nearness) * both
        total = total + (kernel * (1 - (p[here] * p[there]).sum(1))).sum()
        pairs = pairs + both.sum()
    return total / pairs.clamp(min=1)


def _half_plane(reach: int) -> list[tuple[int, int]]:
    """Return the offsets ``(row, col)`` of neighbours to the right and below, so that each pair occurs once."""
    offsets = [*range(-reach, 0, 2), 0, 1, *range(3, reach + 1, 2)]
    return [(down, right) for down in offsets for right in offsets if (down, right) > (0, 0)]


def _shifted(
    shape: torch.Size, down: int, right: int
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    rows, cols = shape
    every = slice(None)
    left, over = max(-right, 0), max(right, 0)
    here = (every, every, slice(0, rows - down), slice(left, cols - over))
    there = (every, every, slice(down, rows), slice(left + right, cols - over + right))
    return here, there
