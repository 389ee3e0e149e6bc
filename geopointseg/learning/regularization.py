"""Terms that ask for plausible maps where nobody said what a pixel is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def entropy_loss(logits: Tensor, valid: Tensor) -> Tensor:
    r"""Return the mean entropy of the predictions, :math:`-\sum_k p_k \log p_k / \log K`, on valid pixels.

    It asks for decisions, right or wrong, so it needs a teacher or points beside it.

    Parameters
    ----------
    logits
        ``(sample, class, row, col)``.
    valid
        bool ``(sample, row, col)``.

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
    r"""Return how much neighbours that look alike differ in class (a dense CRF cut to a window).

    .. math::
        L = \frac{1}{N} \sum_i \sum_{j \in W(i)} k_{ij} \Bigl(1 - \sum_k p_{ik} p_{jk}\Bigr), \quad
        k_{ij} = \exp\Bigl(-\frac{d_{ij}^2}{2\sigma_d^2} - \frac{\|x_i - x_j\|^2}{2\sigma_v^2 B}\Bigr)

    It needs no extra kernels, unlike tree or full CRF losses, and so runs on a CPU.

    Parameters
    ----------
    logits
        ``(sample, class, row, col)``.
    image
        Normalized ``(sample, band, row, col)``; the mean square over the B bands tells how alike two pixels are.
    valid
        bool ``(sample, row, col)``; pairs with an invalid pixel do not count.
    reach_px
        Neighbours up to this far along rows and columns; every second one beyond the first ring.
    sigma_px, sigma_value
        Where likeness fades, in pixels and in deviations of the image.
    step
        Take every n-th pixel only.

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
    """List each pair of neighbours once: to the right and below."""
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
