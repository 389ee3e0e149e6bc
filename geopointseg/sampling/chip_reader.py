"""Arrays of one window of a scene and its sparse mask, without a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask
from geopointseg.raster.grid import crs_name
from geopointseg.raster.scene import Scene
from geopointseg.raster.warp import align
from geopointseg.summary import described


@described
@dataclass(frozen=True)
class LabelledChip:
    """Image, labels and weights of one window.

    Parameters
    ----------
    image
        float32 ``(band, row, col)``; zero where there is no image.
    valid
        bool ``(row, col)``; False where nodata or beyond the scene's border.
    mask
        int64 ``(row, col)`` class indices; `UNLABELLED` where no label or no image.
    weight
        float32 ``(row, col)``; zero where unlabelled.
    window
        Where the chip lies in the scene.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    mask: NDArray[np.int64]
    weight: NDArray[np.float32]
    window: Window


def read_chip(scene: Scene, mask: SparseMask | None, window: Window) -> LabelledChip:
    """Read one window of a scene with its labels.

    Labels on nodata become `UNLABELLED`, because nothing can be learnt from a pixel without an image.

    Parameters
    ----------
    scene
        The imagery.
    mask
        Labels on the same pixels; None where there are none.
    window
        Pixels of the scene; may reach beyond its border.

    Raises
    ------
    RasterError
        If the mask's pixels are not those of the scene.
    """
    chip = scene.read(window)
    if mask is None:
        labels = np.full(chip.valid.shape, UNLABELLED, dtype=np.int64)
        return LabelledChip(
            chip.image, chip.valid, labels, np.zeros(labels.shape, np.float32), window
        )
    labels, weight = mask.window(_window_of_mask(scene, mask, window))
    labels[~chip.valid] = UNLABELLED
    weight[~chip.valid] = 0.0
    return LabelledChip(chip.image, chip.valid, labels, weight, window)


def _window_of_mask(scene: Scene, mask: SparseMask, window: Window) -> Window:
    if mask.grid == scene.grid:
        return window
    alignment = align(mask.grid, scene.grid.crop(window))
    if alignment is None or not alignment.is_upright:
        raise RasterError(
            f"The sparse mask lies on another grid ({crs_name(mask.grid.crs)}, pixel {mask.grid.resolution}) than "
            f"'{scene.name}' ({crs_name(scene.grid.crs)}, pixel {scene.grid.resolution}). Expected the same "
            "pixels; place the points on this scene's grid."
        )
    return alignment.window


def labels_on_image(mask: SparseMask, scene: Scene, block_px: int = 512) -> SparseMask:
    """Return the labels that lie on valid pixels of a scene.

    A chip drawn around a label on nodata would hold nothing to learn from, so such labels go before sampling.
    The scene is read block by block, and only blocks that hold labels.

    Parameters
    ----------
    mask
        Labels on the scene's own grid.
    scene
        The imagery.
    block_px
        Side of the blocks in which the scene is read, in pixels.
    """
    across = scene.grid.width // block_px + 1
    block = mask.row.astype(np.int64) // block_px * across + mask.col // block_px
    keep = np.zeros(len(block), dtype=bool)
    for one in np.unique(block):
        members = np.flatnonzero(block == one)
        rows, cols = mask.row[members], mask.col[members]
        top, left = int(rows.min()), int(cols.min())
        window = Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)
        keep[members] = scene.read(window).valid[rows - top, cols - left]
    return mask if keep.all() else mask.select(keep)
