"""Where labelled pixels lie on the ground, on one pixel grid where scenes overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.coordinates import transform_coordinates
from geopointseg.raster.grid import Grid
from geopointseg.sampling.patch import LabelledPixels, Patch


def ground_positions(patches: Sequence[Patch], labelled: LabelledPixels) -> NDArray[np.int64]:
    """Return where labelled pixels lie on the ground.

    Scenes that overlap, as dates of one place do, are one site with the pixel grid of its first scene. So the pixels of one
    place have one position, whatever the scene.

    Parameters
    ----------
    patches
        Imagery in memory.
    labelled
        Pixels of these patches.

    Returns
    -------
    ndarray
        int64 ``(pixel, 3)``: number of the site, row and column on its grid.
    """
    if not patches:
        return np.zeros((len(labelled), 3), np.int64)
    extents = _extents(patches)
    site_of = _sites(extents)
    origin = np.array([(site_of[p.scene], p.row, p.col) for p in patches], np.int64)
    found = origin[labelled.patch]
    found[:, 1:] += np.column_stack([labelled.row, labelled.col])
    for position, patch in enumerate(patches):
        site = site_of[patch.scene]
        own = np.flatnonzero(labelled.patch == position)
        if site == patch.scene or not len(own):
            continue
        grid = patch.grid
        first, (top, left) = extents[site]
        world = grid.pixel_to_world(labelled.row[own] + 0.5, labelled.col[own] + 0.5)
        row, col = first.world_to_pixel(*transform_coordinates(*world, grid.crs, first.crs))
        known = np.isfinite(row) & np.isfinite(col)
        place = np.column_stack([row[known] + top, col[known] + left])
        found[own[known], 1:] = np.floor(place).astype(np.int64)
    return found


def _extents(patches: Sequence[Patch]) -> dict[int, tuple[Grid, tuple[int, int]]]:
    """Return the grid around the patches of each scene, and its first row and column in the scene."""
    extents = {}
    for scene in dict.fromkeys(patch.scene for patch in patches):
        own = [patch for patch in patches if patch.scene == scene]
        top, left = min(p.row for p in own), min(p.col for p in own)
        bottom = max(p.row + p.shape[0] for p in own)
        right = max(p.col + p.shape[1] for p in own)
        window = Window(left - own[0].col, top - own[0].row, right - left, bottom - top)
        extents[scene] = own[0].grid.crop(window), (top, left)
    return extents


def _sites(extents: dict[int, tuple[Grid, tuple[int, int]]]) -> dict[int, int]:
    """Return the first scene of the site of each scene."""
    site_of = {scene: scene for scene in extents}
    for scene, other in combinations(extents, 2):
        ends = site_of[scene], site_of[other]
        if ends[0] != ends[1] and _overlap(extents[scene][0], extents[other][0]):
            site_of = {s: min(ends) if site in ends else site for s, site in site_of.items()}
    return site_of


def _overlap(one: Grid, other: Grid) -> bool:
    try:
        west, south, east, north = other.shifted_towards(one).bounds_in(one.crs)
    except RasterError:
        return False  # not on one body or site
    own = one.bounds
    return west < own[2] and own[0] < east and south < own[3] and own[1] < north
