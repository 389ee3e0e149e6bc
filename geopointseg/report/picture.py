"""Scenes and maps as small RGBA images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import Grid
from geopointseg.raster.raster_access import open_dataset, reading
from geopointseg.raster.scene import Scene

LONGEST_PX = 1000
"""Longer side of an image in pixels; larger rasters are read at reduced resolution."""

Picture = NDArray[np.uint8]
"""Red, green, blue and opacity, uint8 ``(row, col, 4)``."""


def picture_scene(scene: Scene, longest: int = LONGEST_PX) -> Picture:
    """Return a scene in natural colours, each band stretched from its 2nd to its 98th percentile.

    Red, green and blue are found by the names of the bands or by their colour interpretation; otherwise the first three
    bands are shown, or one band in grey. Nodata is transparent.

    Parameters
    ----------
    scene
        The scene.
    longest
        Longer side in pixels.

    Returns
    -------
    NDArray
        uint8 ``(row, col, 4)``, red, green, blue and opacity.
    """
    indices = color_bands(scene)
    shape = reduced_shape(scene.grid, longest)
    shown = replace(
        scene, bands=tuple(b for b in scene.source_bands if b.index in indices), mixing=None
    )
    with open_dataset(scene.path) as dataset:
        how = {"out_shape": shape, "resampling": Resampling.average, "masked": True}
        with reading(scene.path):
            stored = [dataset.read(index, out_dtype="float64", **how) for index in indices]
    values = np.stack([np.ma.filled(plane, np.nan) for plane in stored])
    valid = np.isfinite(values).all(axis=0) & shown.read_stored(scene.grid.window, shape)[1]
    picture = np.zeros((*shape, 4), dtype=np.uint8)
    for channel in range(3):
        plane = values[channel % len(values)]
        picture[..., channel] = np.where(valid, 255 * _stretch(plane, valid), 0).round()
    picture[..., 3] = 255 * valid
    return picture


def picture_map(class_map: ClassMap, longest: int = LONGEST_PX) -> Picture:
    """Return a class map in the colours of its legend; nodata is transparent.

    Parameters
    ----------
    class_map
        The map.
    longest
        Longer side in pixels; larger maps are read by nearest neighbour.

    Returns
    -------
    NDArray
        uint8 ``(row, col, 4)``, red, green, blue and opacity.
    """
    shape = reduced_shape(class_map.grid, longest)
    with open_dataset(class_map.path) as dataset, reading(class_map.path):
        codes = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
        valid = dataset.read_masks(1, out_shape=shape, resampling=Resampling.nearest) > 0
    picture = np.zeros((*shape, 4), dtype=np.uint8)
    for code, rgb in zip(class_map.legend.codes.tolist(), class_map.legend.rgb, strict=True):
        picture[valid & (codes == code)] = (*rgb, 255)
    return picture


def reduced_shape(grid: Grid, longest: int = LONGEST_PX) -> tuple[int, int]:
    """Return rows and columns of a grid reduced so that its longer side has at most ``longest`` pixels."""
    factor = max(1.0, max(grid.shape) / longest)
    return max(1, round(grid.height / factor)), max(1, round(grid.width / factor))


def color_bands(scene: Scene) -> list[int]:
    """Return the numbers of the stored bands shown as red, green and blue, from 1; one number for a picture in grey."""
    bands = [band for band in scene.source_bands if band.index > 0]
    known: dict[str, int] = {}
    for band in bands:
        for name in (band.name, band.color):
            known.setdefault(_plain_color(name, band.wavelength_um), band.index)
    if {"red", "green", "blue"} <= known.keys():
        return [known["red"], known["green"], known["blue"]]
    indices = [band.index for band in bands]
    return indices[:3] if len(indices) >= 3 else indices[:1]


_SENTINEL = {"b02": "blue", "b03": "green", "b04": "red", "b2": "blue", "b3": "green", "b4": "red"}


def _plain_color(name: str, wavelength_um: float | None) -> str:
    name = name.strip().lower()
    if name in ("red", "green", "blue"):
        return name
    if wavelength_um is not None:
        spans: Sequence[tuple[str, float, float]] = (
            ("blue", 0.44, 0.51), ("green", 0.51, 0.60), ("red", 0.62, 0.69),
        )  # fmt: skip
        return next((c for c, low, high in spans if low <= wavelength_um <= high), "")
    return _SENTINEL.get(name, "")


def _stretch(plane: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    if not valid.any():
        return np.zeros(plane.shape)
    low, high = np.percentile(plane[valid], [2, 98])
    return np.asarray(((np.nan_to_num(plane) - low) / max(high - low, 1e-12)).clip(0, 1))
