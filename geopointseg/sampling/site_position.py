"""Where labelled pixels lie on the ground, on one pixel grid where scenes overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.raster.coordinates import transform_coordinates
from geopointseg.raster.grid import Grid
from geopointseg.sampling.patch import LabelledPixels, Patch

Extent = tuple[Grid, tuple[int, int]]


def site_positions(patches: Sequence[Patch], labelled: LabelledPixels) -> NDArray[np.int64]:
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
    extents, site_of = find_sites(patches)
    origin = np.array([(site_of[p.scene], p.row, p.col) for p in patches], np.int64)
    found = origin[labelled.patch]
    found[:, 1:] += np.column_stack([labelled.row, labelled.col])
    for position, patch in enumerate(patches):
        site = site_of[patch.scene]
        if site == patch.scene:
            continue
        own = np.flatnonzero(labelled.patch == position)
        grid = patch.grid
        first, (top, left) = extents[site]
        world = grid.pixel_to_world(labelled.row[own] + 0.5, labelled.col[own] + 0.5)
        row, col = first.world_to_pixel(*transform_coordinates(*world, grid.crs, first.crs))
        known = np.isfinite(row) & np.isfinite(col)
        place = np.column_stack([row[known] + top, col[known] + left])
        found[own[known], 1:] = np.floor(place).astype(np.int64)
    return found


def find_sites(patches: Sequence[Patch]) -> tuple[dict[int, Extent], dict[int, int]]:
    """Return the extent of each scene, and the first scene of its site."""
    extents = _extents(patches)
    scenes = [*extents]
    crs: dict[CRS, Grid] = {}
    for grid, _ in extents.values():
        crs.setdefault(grid.crs, grid)
    site_of = {scene: scene for scene in scenes}
    for reference in crs.values():
        boxes = np.array([_box_in(grid, reference) for grid, _ in extents.values()])
        for place, scene in enumerate(scenes[:-1]):
            if extents[scene][0].crs != reference.crs:
                continue
            west, south, east, north = boxes.T
            own = boxes[place]
            near = (west < own[2]) & (own[0] < east) & (south < own[3]) & (own[1] < north)
            for other in np.flatnonzero(near):
                ends = {site_of[scene], site_of[scenes[other]]}
                if len(ends) == 2:
                    site_of = {
                        s: min(ends) if site in ends else site for s, site in site_of.items()
                    }
    return extents, site_of


def _extents(patches: Sequence[Patch]) -> dict[int, Extent]:
    """Return the grid around the patches of each scene, and its first row and column in the scene."""
    of_scene: dict[int, list[Patch]] = {}
    for patch in patches:
        of_scene.setdefault(patch.scene, []).append(patch)
    extents = {}
    for scene, own in of_scene.items():
        top, left = min(p.row for p in own), min(p.col for p in own)
        bottom = max(p.row + p.shape[0] for p in own)
        right = max(p.col + p.shape[1] for p in own)
        window = Window(left - own[0].col, top - own[0].row, right - left, bottom - top)
        extents[scene] = own[0].grid.crop(window), (top, left)
    return extents


def _box_in(grid: Grid, reference: Grid) -> tuple[float, float, float, float]:
    """Return the bounds of a grid in the CRS of another one, nearest to it where x goes around; NaN where there are none."""
    try:
        west, south, east, north = grid.bounds_in(reference.crs)
    except RasterError:
        return math.nan, math.nan, math.nan, math.nan  # not on one body or site
    shift = float(reference.nearest_x((west + east) / 2)) - (west + east) / 2
    return west + shift, south, east + shift, north
