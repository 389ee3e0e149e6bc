"""The boundary F1 of maps: how near the boundaries of classes lie to those of the reference.

References
----------
G. Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013, doi:10.5244/C.27.32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TOLERANCE_PX = 3
"""A boundary pixel is right if a boundary pixel of the other map lies within this distance."""


def count_boundaries(
    predicted: NDArray[np.int64], reference: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Return int64 ``(class, 4)``: boundary pixels of the map, those that are right, of the reference, those that are found.

    Boundaries between a class and pixels of unknown class do not count.
    """
    known = reference >= 0
    counts = np.zeros((classes, 4), np.int64)
    for k in range(classes):
        edges = [_boundary(labels == k, known) for labels in (predicted, reference)]
        near = [_near(edge) for edge in edges]
        counts[k] = [
            edges[0].sum(),
            (edges[0] & near[1]).sum(),
            edges[1].sum(),
            (edges[1] & near[0]).sum(),
        ]
    return counts


def _boundary(inside: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels inside that touch known pixels outside."""
    return np.asarray(inside & known & ndimage.binary_dilation(~inside & known))


def _near(edge: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not edge.any():
        return edge
    return np.asarray(ndimage.distance_transform_edt(~edge) <= TOLERANCE_PX)


def boundary_f1(counts: NDArray[np.int64]) -> float:
    """Return the mean boundary F1 in % over the classes that have boundaries in the reference."""
    present = counts[:, 2] > 0
    found, right, there, met = counts[present].T.astype(float)
    precision, recall = right / found.clip(1), met / there.clip(1)
    return (
        float(100 * np.mean(2 * precision * recall / (precision + recall).clip(1e-9)))
        if present.any()
        else float("nan")
    )
