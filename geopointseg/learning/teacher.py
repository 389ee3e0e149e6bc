"""The forest as a teacher: what it says about every pixel in memory.

References
----------
G. Hinton et al., Distilling the knowledge in a neural network, 2015, doi:10.48550/arXiv.1503.02531.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from geopointseg.config import ForestConfig
from geopointseg.learning.ground import Ground, LabelledPixels, Patch
from geopointseg.model.forest import Forest
from geopointseg.progress import Reporter

BLOCK_PX = 256
"""Side of the blocks in which the forest looks at large patches."""


def fit_forest(ground: Ground, labelled: LabelledPixels, config: ForestConfig, seed: int) -> Forest:
    """Fit a forest to labelled pixels.

    Parameters
    ----------
    ground
        Imagery.
    labelled
        Pixels to learn from.
    config
        Settings of the forest.
    seed
        Decides the trees.
    """
    pixels = []
    for position in range(len(ground.patches)):
        own = labelled.select(labelled.patch == position)
        pixels.append((own.row, own.col, own.class_index, own.weight))
    images = [(patch.image, patch.valid) for patch in ground.patches]
    return Forest.fit(images, pixels, classes=ground.classes, config=config, seed=seed)


def forest_maps(
    forest: Forest, ground: Ground, reporter: Reporter, around: LabelledPixels | None = None
) -> tuple[NDArray[np.uint8], ...]:
    """Return the forest's probabilities of every patch in 1/255, uint8 ``(class, row, col)``; 0 where invalid.

    With ``around``, only blocks are looked at that hold these pixels, and only the part that they span.
    """
    maps = [np.zeros((ground.classes, *patch.shape), dtype=np.uint8) for patch in ground.patches]
    blocks = [(i, *block) for i, patch in enumerate(ground.patches) for block in _blocks(patch)]
    if around is not None:
        spanned = (_span(around, *block) for block in blocks)
        blocks = [block for block in spanned if block is not None]
    with reporter.stage("forest", total=len(blocks)) as advance:
        for position, rows, cols in blocks:
            maps[position][:, rows, cols] = _block(forest, ground.patches[position], rows, cols)
            advance(1)
    return tuple(maps)


def _block(forest: Forest, patch: Patch, rows: slice, cols: slice) -> NDArray[np.uint8]:
    margin = forest.margin_px
    top, left = max(rows.start - margin, 0), max(cols.start - margin, 0)
    around = slice(top, rows.stop + margin), slice(left, cols.stop + margin)
    probabilities = forest.probabilities(patch.image[:, *around], patch.valid[around])
    inner = probabilities[
        :, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
    ]
    return np.where(patch.valid[rows, cols], np.rint(inner * 255), 0).astype(np.uint8)


def _blocks(patch: Patch) -> Iterator[tuple[slice, slice]]:
    height, width = patch.shape
    for row in range(0, height, BLOCK_PX):
        for col in range(0, width, BLOCK_PX):
            yield slice(row, min(row + BLOCK_PX, height)), slice(col, min(col + BLOCK_PX, width))


def _span(
    pixels: LabelledPixels, patch: int, rows: slice, cols: slice
) -> tuple[int, slice, slice] | None:
    """Return the part of a block that some pixels span, None where it holds none."""
    own = (pixels.patch == patch) & (pixels.row >= rows.start) & (pixels.row < rows.stop)
    own &= (pixels.col >= cols.start) & (pixels.col < cols.stop)
    if not own.any():
        return None
    row, col = pixels.row[own], pixels.col[own]
    return (
        patch,
        slice(int(row.min()), int(row.max()) + 1),
        slice(int(col.min()), int(col.max()) + 1),
    )


def class_shares(maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return the share of each class in probability maps, ``(class,)``."""
    total = np.sum([m.sum(axis=(1, 2), dtype=np.float64) for m in maps], axis=0)
    return np.asarray(total / max(total.sum(), 1.0), dtype=np.float32)
