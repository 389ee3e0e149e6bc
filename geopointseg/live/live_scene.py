"""The imagery of a live session: one mosaic, read at several resolutions, and its normalization.

The normalization is computed once from a sample of the whole scene, never from a view. So a pan or a zoom changes no class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from geopointseg.bands.band_names import require_distinct_bands
from geopointseg.bands.opening import Source, open_scenes
from geopointseg.config import SceneConfig
from geopointseg.errors import (
    GeopointsegError,
    InputFileError,
    MissingDependencyError,
    ModelError,
    RasterError,
)
from geopointseg.learning.linear_head import PERCENTILES, find_colors, is_photograph
from geopointseg.model.backbone import INPUT_MEAN, INPUT_STD, LITE0, build_backbone
from geopointseg.model.filter_pyramid import FILTERS, FilterPyramid, JoinedBackbones
from geopointseg.model.fused_convolution import fuse_convolutions
from geopointseg.model.linear import LinearBody, choose_projection
from geopointseg.model.member import Normalization
from geopointseg.prediction.mosaic import Mosaic
from geopointseg.progress import Reporter
from geopointseg.raster.grid import Grid, clip_window
from geopointseg.raster.scene import Chip, Scene

SAMPLE_WINDOWS = 6
"""Windows along either axis from which the normalization is computed."""
SAMPLE_PX = 192
"""Side of these windows in pixels."""
EYES = f"{LITE0}+{FILTERS}"
"""Encoder of a session: pretrained features and filters."""
BANDS_AT_ONCE = 16
"""Number of bands that are read at once."""
MOST_PLANES = 12
"""Of more bands, this number of principal components is used."""


@dataclass(frozen=True, eq=False)
class LiveScene:
    """Imagery with its normalization and feature extractor.

    Parameters
    ----------
    mosaic
        The imagery on the pixels of the first raster.
    normalization
        Mean and standard deviation per band, the same for all views.
    basis
        Weights of the normalized bands in the planes that a head uses, float32 ``(plane, band)``: the identity, or principal
        components of many bands.
    body
        Computes the features; its heads are not used.
    encoder
        Name of the encoder of ``body``.
    fingerprint
        Of the files at the start of the session.
    """

    mosaic: Mosaic
    normalization: Normalization
    basis: NDArray[np.float32]
    body: LinearBody
    encoder: str
    fingerprint: str

    @property
    def grid(self) -> Grid:
        """The pixels of the mosaic."""
        return self.mosaic.grid

    @property
    def has_eyes(self) -> bool:
        """Whether pretrained features are available."""
        return self.encoder == EYES

    def shape(self, level: int) -> tuple[int, int]:
        """Return rows and columns at a pyramid level, whose pixels are ``2 ** level`` pixels wide."""
        rows, cols = (max(-(-side >> level), 1) for side in self.grid.shape)
        return rows, cols

    def require_unchanged(self) -> None:
        """Raise `InputFileError` if a file of the imagery was removed or changed since the start."""
        for scene in self.mosaic.scenes:
            try:
                found = scene.fingerprint() or scene.path
            except GeopointsegError as error:
                raise InputFileError(
                    f"'{scene.name}' was removed or cannot be opened since the session started. Points are kept; restore "
                    "the file to go on."
                ) from error
            if repr(found) not in self.fingerprint:
                raise InputFileError(
                    f"'{scene.name}' was changed since the session started. Points are kept; start a new session and send "
                    "the points again."
                )

    def read(self, window: Window, level: int = 0) -> LivePixels:
        """Read a window of a pyramid level, which may reach beyond the border.

        Bands are read in groups, so that a scene of hundreds of bands takes no more memory than one of a few.

        Parameters
        ----------
        window
            In pixels of the level.
        level
            0 for the pixels of the file. At other levels, values are the mean of 2 x 2 samples per pixel.
        """
        wanted = np.concatenate([self.basis, self.body.projection.numpy()])
        planes = np.zeros((len(wanted), window.height, window.width), np.float32)
        valid = np.ones(planes.shape[1:], dtype=bool)
        bands = len(self.mosaic.scenes[0].bands)
        for first in range(0, bands, BANDS_AT_ONCE):
            some = slice(first, min(first + BANDS_AT_ONCE, bands))
            chip = _read_level(_with_bands(self.mosaic, some, bands), window, level)
            own = Normalization(self.normalization.mean[some], self.normalization.std[some])
            planes += np.tensordot(wanted[:, some], own.apply(chip.image, chip.valid), axes=1)
            valid &= chip.valid
        planes[:, ~valid] = 0.0
        return LivePixels(planes[: len(self.basis)], planes[len(self.basis) :], valid)


@dataclass(frozen=True, eq=False)
class LivePixels:
    """Normalized pixels of a window.

    Parameters
    ----------
    planes
        Bands, or principal components of many bands, float32 ``(plane, row, col)``.
    rgb
        Input of the feature extractor, float32 ``(3, row, col)``.
    valid
        bool ``(row, col)``; the others are 0 where False.
    """

    planes: NDArray[np.float32]
    rgb: NDArray[np.float32]
    valid: NDArray[np.bool_]


def _with_bands(mosaic: Mosaic, some: slice, bands: int) -> Mosaic:
    if some == slice(0, bands):
        return mosaic
    scenes = [scene.with_bands(scene.bands[some]) for scene in mosaic.scenes]
    return Mosaic(tuple(scenes), mosaic.grid)


def _read_level(mosaic: Mosaic, window: Window, level: int) -> Chip:
    if level == 0:
        return mosaic.read(window)
    image = np.zeros((len(mosaic.scenes[0].bands), window.height, window.width), np.float32)
    valid = np.zeros(image.shape[1:], dtype=bool)
    for scene in mosaic.scenes:
        row, col = mosaic.grid.offset_of(scene.grid)
        placed = _reduced_window(window, level, (row, col), scene.grid.shape)
        if placed is None:
            continue
        own, source = placed
        chip = _read_reduced(scene, source, valid[own].shape)
        np.copyto(image[:, *own], chip.image, where=chip.valid & ~valid[own])
        valid[own] |= chip.valid
    return Chip(image, valid)


def open_live_scene(
    rasters: Sequence[Source], settings: SceneConfig, reporter: Reporter
) -> LiveScene:
    """Open imagery for a session.

    Parameters
    ----------
    rasters
        One raster or several, which become one mosaic on the pixels of the first.
    settings
        Bands, nodata and stacking.
    reporter
        Receives messages on the bands.

    Returns
    -------
    LiveScene
        With the normalization of the whole scene.

    Raises
    ------
    InputFileError, RasterError
        If a raster cannot be used.
    """
    scenes = open_scenes(rasters, bands=settings.bands, reporter=reporter, **settings.reading)
    require_distinct_bands(scenes[0])
    mosaic = Mosaic.of(scenes, reporter)
    sample = _sample(mosaic)
    colors = find_colors(scenes[0].bands)
    normalization = _normalization(sample, scenes, colors)
    scaled = ((sample - normalization.mean) / normalization.std).astype(np.float32)
    try:
        extractor: FilterPyramid | JoinedBackbones = JoinedBackbones(
            [fuse_convolutions(build_backbone()), FilterPyramid()]
        )
        encoder = EYES
    except (MissingDependencyError, ModelError) as error:
        reporter.warn(f"{error} Filters are used alone.")
        extractor, encoder = FilterPyramid(), FILTERS
    body = LinearBody(len(scenes[0].bands), 2, extractor).eval()
    body.projection.copy_(torch.from_numpy(choose_projection(len(scenes[0].bands), colors, scaled)))
    return LiveScene(
        mosaic,
        normalization,
        choose_basis(scaled),
        body.to(memory_format=torch.channels_last),
        encoder,
        mosaic.fingerprint(),
    )


def choose_basis(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights of the bands in the planes that a head uses.

    Parameters
    ----------
    sample
        Normalized pixels, float32 ``(pixel, band)``.

    Returns
    -------
    ndarray
        float32 ``(plane, band)``: the identity for up to 12 bands, else the first 12 principal components, each with a standard
        deviation of 1.

    Examples
    --------
    >>> choose_basis(np.zeros((5, 3), np.float32)).shape
    (3, 3)
    >>> choose_basis(np.random.default_rng(0).normal(size=(500, 40)).astype(np.float32)).shape
    (12, 40)
    """
    bands = sample.shape[1]
    if bands <= MOST_PLANES:
        return np.eye(bands, dtype=np.float32)
    values, vectors = np.linalg.eigh(np.cov(sample.T.astype(np.float64)))
    axes = vectors[:, ::-1][:, :MOST_PLANES] / np.sqrt(values[::-1][:MOST_PLANES].clip(1e-6))
    signs = np.where(axes.sum(axis=0) < 0, -1.0, 1.0)
    return np.ascontiguousarray((axes * signs).T.astype(np.float32))


def _sample(mosaic: Mosaic) -> NDArray[np.float64]:
    """Return valid pixels of evenly spaced windows, float64 ``(pixel, band)``."""
    height, width = mosaic.shape
    parts = []
    for row in _starts(height):
        for col in _starts(width):
            chip = mosaic.read(clip_window(Window(col, row, SAMPLE_PX, SAMPLE_PX), mosaic.shape))
            parts.append(chip.image[:, ::2, ::2][:, chip.valid[::2, ::2]].T)
    sample = np.concatenate(parts).astype(np.float64)
    if len(sample):
        return sample
    for scene in mosaic.scenes:
        chip = scene.read_overview()
        if chip.valid.any():
            return chip.image[:, chip.valid].T.astype(np.float64)
    raise RasterError(
        f"'{mosaic.scenes[0].name}' has no valid pixel. Expected imagery; check its nodata value."
    )


def _starts(length: int) -> Iterator[int]:
    count = min(SAMPLE_WINDOWS, -(-length // SAMPLE_PX))
    yield from np.linspace(0, max(length - SAMPLE_PX, 0), count).astype(int).tolist()


def _normalization(
    sample: NDArray[np.float64], scenes: Sequence[Scene], colors: Sequence[int] | None
) -> Normalization:
    """Return the normalization as for a training: colours like photographs, all other bands by mean and standard deviation."""
    mean, std = sample.mean(axis=0), sample.std(axis=0)
    std = np.where(std > 1e-9 * np.abs(mean).clip(min=1e-9), std, 1.0)
    if colors is None:
        return Normalization(mean, std)
    low, high = 0.0, 255.0
    if not all(is_photograph(scene, colors) for scene in scenes):
        limits = np.percentile(sample[:, list(colors)], PERCENTILES, axis=0)
        low, high = float(limits[0].min()), float(limits[1].max())
    span = high - low if high > low else 1.0
    mean[list(colors)] = low + span * INPUT_MEAN
    std[list(colors)] = span * INPUT_STD
    return Normalization(mean, std)


def _reduced_window(
    window: Window, level: int, offset: tuple[int, int], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], Window] | None:
    """Return the part of a window of a level that lies on a scene, and its window in pixels of the scene; None if there is none.

    Pixels of the level that lie on the scene in part are left out, except at its end.
    """
    step = 1 << level
    own, spans = [], []
    for start, size, first, length in (
        (int(window.row_off), int(window.height), offset[0], shape[0]),
        (int(window.col_off), int(window.width), offset[1], shape[1]),
    ):
        begin = max(start, -(-first // step))
        stop = min(start + size, -(-(first + length) // step))
        if begin >= stop:
            return None
        own.append(slice(begin - start, stop - start))
        top = begin * step - first
        spans.append((top, min(stop * step - first, length) - top))
    (row, height), (col, width) = spans
    return (own[0], own[1]), Window(col, row, width, height)


def _read_reduced(scene: Scene, window: Window, shape: tuple[int, int]) -> Chip:
    """Read a window of a scene reduced to a shape: 2 x 2 samples per pixel, then their mean."""
    fine = 2 * shape[0], 2 * shape[1]
    chip = scene.decode(*scene.read_stored(window, fine), window)
    counts = _sum_pairs(chip.valid[None].astype(np.float32))
    total = _sum_pairs(chip.image)
    return Chip(
        np.where(counts > 0, total / np.maximum(counts, 1), 0.0).astype(np.float32), counts[0] > 0
    )


def _sum_pairs(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = planes[:, ::2] + planes[:, 1::2]
    return np.asarray(rows[:, :, ::2] + rows[:, :, 1::2])
