"""Pseudo-labels: labels expanded from points to similar pixels, and soft labels for a round of self-training.

Expanded labels hold the class index plus the number of classes, so that the loss can weight them separately. Pixels stay
unlabelled where expanded labels of two classes overlap, or a teacher is confident of another class, because a wrong label
does more harm than a missing one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geopointseg.config import TeachingConfig
from geopointseg.labels.sparse_mask import UNLABELLED
from geopointseg.model.member import Normalization
from geopointseg.sampling.patch import Patch, PatchLabels, cut

Maps = tuple[NDArray[np.uint8], ...]
Grow = Callable[[NDArray[np.float32], NDArray[np.bool_], int], NDArray[np.bool_]]

LARGEST_DIFFERENCE = 0.35
"""Pixels of a region differ from its point by less than this, in standard deviations of the image (root mean square)."""
CONTRADICTING = 204
"""A teacher whose probability of another class is at least this, in 1/255, contradicts an expanded label."""
KEPT_SHARE = 0.5
"""Share of the pixels of each class, the most confident ones, that keep their soft label in self-training."""


def grow_superpixel(
    image: NDArray[np.float32], valid: NDArray[np.bool_], side_px: int
) -> NDArray[np.bool_]:
    """Return the SLIC superpixel of the middle pixel, without pixels that differ from it by more than one standard deviation.

    Parameters
    ----------
    image
        Normalized ``(band, row, col)``.
    valid
        bool ``(row, col)``.
    side_px
        Wanted side of a superpixel.

    References
    ----------
    R. Achanta et al., SLIC superpixels, TPAMI 2012, doi:10.1109/TPAMI.2012.120.
    """
    from skimage.segmentation import slic

    middle = image.shape[1] // 2, image.shape[2] // 2
    segments = slic(
        image.transpose(1, 2, 0).astype(np.float64),
        n_segments=max(image[0].size // side_px**2, 1),
        compactness=1.0,
        channel_axis=-1,
        mask=valid,
        start_label=1,
        convert2lab=False,
    )
    return np.asarray((segments == segments[middle]) & valid & (_difference(image, middle) < 1.0))


def grow_region(
    image: NDArray[np.float32], valid: NDArray[np.bool_], reach_px: int
) -> NDArray[np.bool_]:
    """Return the connected pixels around the middle one that are similar to it, at most ``reach_px`` away.

    Parameters
    ----------
    image
        Normalized ``(band, row, col)``.
    valid
        bool ``(row, col)``.
    reach_px
        Largest distance along rows and columns.

    References
    ----------
    Y. Xu and P. Ghamisi, Consistency-regularized region-growing network, TIP 2022, doi:10.1109/TIP.2022.3189825.
    """
    from scipy import ndimage

    row, col = image.shape[1] // 2, image.shape[2] // 2
    near = np.zeros_like(valid)
    near[
        max(row - reach_px, 0) : row + reach_px + 1, max(col - reach_px, 0) : col + reach_px + 1
    ] = True
    regions, _ = ndimage.label((_difference(image, (row, col)) < LARGEST_DIFFERENCE) & near & valid)
    return np.asarray((regions == regions[row, col]) & (regions > 0))


def _difference(image: NDArray[np.float32], pixel: tuple[int, int]) -> NDArray[np.float32]:
    """Return by how much pixels differ from one of them, the root mean square over the bands."""
    here = image[:, pixel[0], pixel[1]][:, None, None]
    return np.asarray(np.sqrt(np.square(image - here).mean(axis=0)), dtype=np.float32)


GROWERS: dict[str, Grow] = {"superpixels": grow_superpixel, "region": grow_region}


def expand_labels(
    patches: Sequence[Patch],
    masks: Sequence[PatchLabels],
    normalization: Normalization,
    settings: TeachingConfig,
    soft: Maps | None = None,
) -> list[PatchLabels]:
    """Grow every labelled pixel to the pixels around it that look alike.

    Parameters
    ----------
    patches
        Imagery in memory.
    masks
        Labels of each patch.
    normalization
        Brings the bands to one scale.
    settings
        How to grow, and how far.
    soft
        The teachers' probabilities of each patch; labels that a confident teacher contradicts are not grown.

    Returns
    -------
    list of PatchLabels
        The same sparse pixels; the dense arrays also hold the grown labels, as class index plus the number of classes
        and with weight 1.
    """
    if settings.expansion == "none":
        return list(masks)
    return [
        _expand(patch, mask, normalization, settings, None if soft is None else soft[position])
        for position, (patch, mask) in enumerate(zip(patches, masks, strict=True))
    ]


def _expand(
    patch: Patch,
    mask: PatchLabels,
    normalization: Normalization,
    settings: TeachingConfig,
    soft: NDArray[np.uint8] | None,
) -> PatchLabels:
    """Grow the labels of one patch."""
    classes, grow = len(mask.legend), GROWERS[settings.expansion]
    votes = np.full(patch.shape, UNLABELLED, dtype=np.int16)
    size = 4 * settings.expansion_px + 1
    for row, col, label in zip(
        mask.row.tolist(), mask.col.tolist(), mask.class_index.tolist(), strict=True
    ):
        corner = row - size // 2, col - size // 2
        valid = cut(patch.valid, *corner, size, fill=False)
        image = normalization.apply(cut(patch.image, *corner, size, fill=0.0), valid)
        _vote(votes, grow(image, valid, settings.expansion_px), corner, label, classes)
    grown = _keep(votes, mask.dense_index, soft, classes)
    index = np.where(grown, votes + classes, mask.dense_index).astype(np.int16)
    weight = np.where(grown, 1.0, mask.dense_weight).astype(np.float32)
    return replace(mask, dense_index=index, dense_weight=weight)


def _vote(
    votes: NDArray[np.int16],
    region: NDArray[np.bool_],
    corner: tuple[int, int],
    label: int,
    classes: int,
) -> None:
    """Write a class into the votes; ``classes`` marks pixels that two classes claim."""
    rows, cols = np.nonzero(region)
    rows, cols = rows + corner[0], cols + corner[1]
    inside = (rows >= 0) & (cols >= 0) & (rows < votes.shape[0]) & (cols < votes.shape[1])
    rows, cols = rows[inside], cols[inside]
    before = votes[rows, cols]
    votes[rows, cols] = np.where((before == UNLABELLED) | (before == label), label, classes)


def _keep(
    vote: NDArray[np.int16],
    target: NDArray[np.int16],
    soft: NDArray[np.uint8] | None,
    classes: int,
) -> NDArray[np.bool_]:
    keep = (vote >= 0) & (vote < classes) & (target == UNLABELLED)
    if soft is not None:
        rows, cols = np.nonzero(keep)
        probability = soft[:, rows, cols]
        other = probability.argmax(axis=0) != vote[rows, cols]
        contradicted = other & (probability.max(axis=0) >= CONTRADICTING)
        keep[rows[contradicted], cols[contradicted]] = False
    return np.asarray(keep)


def blend_teachers(forest: Maps, network: Maps, network_weight: float) -> Maps:
    """Return the weighted mean of the soft labels of two teachers."""
    return tuple(
        np.rint(network_weight * n + (1 - network_weight) * f).astype(np.uint8)
        for f, n in zip(forest, network, strict=True)
    )


def keep_most_confident(maps: Sequence[NDArray[np.uint8]], share: float = KEPT_SHARE) -> Maps:
    """Keep the soft labels of the most confident pixels, the same share of each class; the others become 0.

    References
    ----------
    Y. Zou et al., Unsupervised domain adaptation via class-balanced self-training, ECCV 2018,
    doi:10.1007/978-3-030-01219-9_18.
    """
    labels = [m.argmax(axis=0) for m in maps]
    confidence = [m.max(axis=0) for m in maps]
    levels = np.zeros(len(maps[0]), dtype=np.float64)
    for index in range(len(levels)):
        own = np.concatenate(
            [s[(k == index) & (s > 0)] for s, k in zip(confidence, labels, strict=True)]
        )
        levels[index] = np.quantile(own, 1 - share) if own.size else 0.0
    return tuple(
        np.where(s >= levels[k], m, 0).astype(np.uint8)
        for m, s, k in zip(maps, confidence, labels, strict=True)
    )
