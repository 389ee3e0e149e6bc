"""Exponential moving average of the network, and its pseudo-labels for consistency training.

The averaged network (mean teacher) predicts a weakly augmented chip. Where its confidence reaches a threshold, its
prediction is the target of the network on a strongly augmented version of the chip. The threshold is lower for classes of
lower confidence, so that these classes get pseudo-labels, too. `has_collapsed` detects pseudo-labels that hold almost only
one class.

References
----------
A. Tarvainen and H. Valpola, Mean teachers are better role models, NeurIPS 2017, doi:10.48550/arXiv.1703.01780.
K. Sohn et al., FixMatch, NeurIPS 2020, doi:10.48550/arXiv.2001.07685.
Y. Wang et al., FreeMatch: self-adaptive thresholding, ICLR 2023, doi:10.48550/arXiv.2205.07246.
S. Yun et al., CutMix, ICCV 2019, doi:10.1109/ICCV.2019.00612.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


class AveragedNetwork:
    """An exponential moving average of a network's weights and statistics.

    Parameters
    ----------
    network
        The network that is trained; its weights are the first average.
    decay
        Share of the old average that is kept at step n: ``min(decay, (1 + n) / (10 + n))``. The second term makes the random
        initial weights vanish quickly. With 0 the average equals the network.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval()
        for parameter in self.network.parameters():
            parameter.requires_grad = False

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Update the average with the weights and statistics of the network."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        ours, theirs = self.network.state_dict(), network.state_dict()
        floats = [k for k, v in ours.items() if v.is_floating_point()]
        torch._foreach_lerp_([ours[k] for k in floats], [theirs[k] for k in floats], 1 - keep)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])

    @torch.no_grad()
    def probabilities(self, image: Tensor) -> Tensor:
        """Return the probabilities of the averaged network.

        Parameters
        ----------
        image
            Normalized, ``(sample, band, row, col)``.

        Returns
        -------
        Tensor
            float32 ``(sample, class, row, col)``.
        """
        return F.softmax(self.network(image).float(), dim=1)


@dataclass
class ClassThresholds:
    """Confidence thresholds for pseudo-labels, per class.

    The threshold of a class is the general one times the mean confidence in this class, relative to the class of the
    highest mean confidence.

    Parameters
    ----------
    confidence
        Running mean of the averaged network's confidence per predicted class, ``(class,)``.
    histogram
        Running share of each class among the accepted pseudo-labels, ``(class,)``.
    momentum
        Share of the old running means that is kept at each step.
    """

    confidence: Tensor
    histogram: Tensor
    momentum: float = 0.98

    @classmethod
    def initial(cls, classes: int) -> ClassThresholds:
        """Return equal thresholds for a number of classes."""
        return cls(torch.ones(classes), torch.full((classes,), 1.0 / classes))

    def accept(self, probabilities: Tensor, valid: Tensor, threshold: float) -> Tensor:
        """Return where pseudo-labels are accepted, and update the running means.

        Parameters
        ----------
        probabilities
            Of the averaged network, ``(sample, class, row, col)``.
        valid
            bool ``(sample, row, col)``: pixels that show an image.
        threshold
            General confidence threshold, 0..1.

        Returns
        -------
        Tensor
            bool ``(sample, row, col)``.
        """
        confidence, label = probabilities.max(dim=1)
        levels = threshold * self.confidence / self.confidence.max().clamp(min=1e-6)
        accepted = valid & (confidence >= levels.to(confidence)[label])
        self._update(confidence, label, valid, accepted)
        return accepted

    def _update(self, confidence: Tensor, label: Tensor, valid: Tensor, accepted: Tensor) -> None:
        classes = len(self.confidence)
        seen = torch.bincount(label[valid], minlength=classes).cpu()
        sums = torch.zeros(classes).index_add_(
            0, label[valid].cpu(), confidence[valid].float().cpu()
        )
        keep = torch.where(seen > 0, self.momentum, 1.0)
        self.confidence = keep * self.confidence + (1 - keep) * sums / seen.clamp(min=1)
        taken = torch.bincount(label[accepted], minlength=classes).cpu().float()
        if taken.sum() > 0:
            share = taken / taken.sum()
            self.histogram = self.momentum * self.histogram + (1 - self.momentum) * share


def effective_classes(histogram: Tensor) -> float:
    """Return the effective number of classes of a histogram: the exponential of its entropy.

    Examples
    --------
    >>> round(effective_classes(torch.tensor([0.5, 0.5, 0.0])), 3)
    2.0
    """
    share = histogram / histogram.sum().clamp(min=1e-12)
    return float(torch.exp(-torch.xlogy(share, share).sum()))


def has_collapsed(histogram: Tensor, expected: Tensor, tolerance: float = 0.4) -> bool:
    """Return whether pseudo-labels are much less diverse than expected.

    The diversity is the effective number of classes minus one.

    Parameters
    ----------
    histogram
        Share of each class among accepted pseudo-labels.
    expected
        Share of each class in the teacher's map, or among the points where there is no teacher.
    tolerance
        Pseudo-labels have collapsed where their diversity is below this share of the expected one.
    """
    found, anticipated = effective_classes(histogram) - 1, effective_classes(expected) - 1
    return found < tolerance * anticipated


def cut_and_mix(tensors: list[Tensor], chips: Tensor, generator: Generator) -> None:
    """Replace a rectangle of each selected chip by that of the next one (CutMix), in place and equally in all tensors.

    Parameters
    ----------
    tensors
        Each ``(sample, ..., row, col)``.
    chips
        Positions of the selected chips, int64 ``(chip,)``. With fewer than two nothing is replaced.
    generator
        Decides size and place of the rectangles.
    """
    if len(chips) < 2:
        return
    rows, cols = tensors[0].shape[-2:]
    sources = [tensor[chips].clone() for tensor in tensors]
    for place, chip in enumerate(chips.tolist()):
        share = 0.2 + 0.3 * float(torch.rand((), generator=generator))
        ratio = float(torch.empty(()).uniform_(0.5, 2.0, generator=generator))
        height = min(max(int(rows * (share * ratio) ** 0.5), 1), rows)
        width = min(max(int(cols * (share / ratio) ** 0.5), 1), cols)
        top = int(torch.randint(0, rows - height + 1, (), generator=generator))
        left = int(torch.randint(0, cols - width + 1, (), generator=generator))
        box = (..., slice(top, top + height), slice(left, left + width))
        for tensor, source in zip(tensors, sources, strict=True):
            tensor[chip][box] = source[(place + 1) % len(chips)][box]
