"""Which windows of large scenes are kept in memory: those around labels first, then others drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.labels.sparse_mask import SparseMask
from geopointseg.raster.grid import block_windows
from geopointseg.raster.scene import Scene

LABELLED_SHARE = 0.75
"""Largest share of the pixels that windows around labels may take; the rest shows unlabelled pixels."""
SIDES = (4.0, 3.0, 2.0, 1.5, 1.25, 1.0)
"""Sides of windows around labels, in chips; the widest is taken with which all labels fit."""
TILE = 4
"""Side of the tiles that are drawn at random, in chips."""

Place = tuple[int, Window]
"""Position of a scene, and a window of it."""


def choose_windows(
    scenes: Sequence[Scene],
    masks: Sequence[Sequence[SparseMask]],
    *,
    room: int,
    chip_size: int,
    seed: int,
) -> list[Place]:
    """Choose the windows of scenes that are kept in memory.

    Scenes that fit are kept as a whole. Of others, windows around the labels are kept, as wide as the number of pixels
    allows, so that each label has imagery on all sides. Where even narrow windows do not fit, labels are chosen from
    each class in turn, so that rare classes keep theirs. The pixels that are left go to tiles of the scenes, drawn at
    random.

    Parameters
    ----------
    scenes
        All scenes.
    masks
        Sparse masks of each scene; none where there are no labels.
    room
        Number of pixels that may be kept.
    chip_size
        Side of a training chip in pixels.
    seed
        Decides which windows are kept.

    Returns
    -------
    list
        Position of the scene and window, each once; windows around labels first. They may overlap.
    """
    if sum(s.grid.height * s.grid.width for s in scenes) <= room:
        return [(position, scene.grid.window) for position, scene in enumerate(scenes)]
    generator = np.random.default_rng([seed, 11])
    around = _around_labels(scenes, masks, int(room * LABELLED_SHARE), chip_size, generator)
    around = list(dict.fromkeys(around))
    left = room - sum(window.height * window.width for _, window in around)
    tile = TILE * chip_size
    tiles = _tiles(scenes, tile)
    chosen = generator.permutation(len(tiles))[: max(left // tile**2, 0 if around else 1)]
    return list(dict.fromkeys([*around, *(tiles[i] for i in chosen)]))


def _around_labels(
    scenes: Sequence[Scene],
    masks: Sequence[Sequence[SparseMask]],
    room: int,
    chip_size: int,
    generator: np.random.Generator,
) -> list[Place]:
    labels = _in_turn(masks, max(chip_size // 8, 1), generator)
    plans = []
    for chips in SIDES:
        side = round(chips * chip_size)
        centres, missed = _cover(labels, side // 4, most=max(room // side**2, 1))
        plans.append((missed, side, centres))
        if not missed:
            break
    _, side, centres = min(plans, key=lambda plan: plan[0])
    return [(int(s), _window(scenes[s].grid.shape, row, col, side)) for s, row, col in centres]


def _in_turn(
    masks: Sequence[Sequence[SparseMask]], cell_px: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return where labels are, int64 ``(label, 3)`` of scene, row and column: one a class and cell, classes in turn."""
    parts = [_cells(position, m, cell_px) for position, each in enumerate(masks) for m in each]
    cells = np.concatenate([np.zeros((0, 4), dtype=np.int64), *parts])
    cells = generator.permutation(np.unique(cells, axis=0))
    turn = np.zeros(len(cells), dtype=np.int64)
    for index in np.unique(cells[:, 3]):
        own = cells[:, 3] == index
        turn[own] = np.arange(own.sum())
    places = cells[np.argsort(turn, kind="stable"), :3]
    places[:, 1:] = places[:, 1:] * cell_px + cell_px // 2
    return np.asarray(places)


def _cells(scene: int, mask: SparseMask, cell_px: int) -> NDArray[np.int64]:
    """Return scene, row, column and class of the cells that hold labels of a class, int64 ``(cell, 4)``."""
    shape = tuple(int(a.max(initial=0)) + 1 for a in (mask.row, mask.col, mask.class_index))
    where = (mask.row // cell_px, mask.col // cell_px, mask.class_index)
    row, col, index = np.unravel_index(np.unique(np.ravel_multi_index(where, shape)), shape)
    return np.column_stack([np.full(len(row), scene), row, col, index]).astype(np.int64)


def _cover(labels: NDArray[np.int64], reach: int, most: int) -> tuple[NDArray[np.int64], int]:
    """Centre windows on labels in turn, until all are within reach of a centre; return how many are not."""
    free = np.ones(len(labels), dtype=bool)
    centres: list[NDArray[np.int64]] = []
    while len(centres) < most and free.any():
        centre = labels[free.argmax()]
        distance = np.abs(labels[:, 1:] - centre[1:]).max(axis=1)
        free &= (labels[:, 0] != centre[0]) | (distance > reach)
        centres.append(centre)
    return np.array(centres, dtype=np.int64).reshape(-1, 3), int(free.sum())


def _window(shape: tuple[int, int], row: int, col: int, side: int) -> Window:
    """Return a window around a pixel, moved and cut to fit into the scene."""
    height, width = min(side, shape[0]), min(side, shape[1])
    top = int(np.clip(row - side // 2, 0, shape[0] - height))
    left = int(np.clip(col - side // 2, 0, shape[1] - width))
    return Window(left, top, width, height)


def _tiles(scenes: Sequence[Scene], tile: int) -> list[Place]:
    return [
        (position, window)
        for position, scene in enumerate(scenes)
        for window in block_windows(scene.grid.shape, tile)
    ]
