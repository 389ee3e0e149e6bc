"""Scenes on other grids: exact where pixels coincide, resampled on the fly where they do not.

All reading goes through `Scene.read`. Nodata, masks, scale and offset are therefore applied in the same way before and
after a warp, and one open dataset per file is enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import calculate_default_transform, reproject
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.band import Band
from geopointseg.raster.grid import Bounds, Grid, clip_window, transform_coordinates
from geopointseg.raster.scene import Chip, Radiometry, Scene

ResamplingName = Literal["nearest", "bilinear", "cubic", "average", "mode"]

_TOLERANCE_PX = 1e-3
"""Offsets and scales that add up to less than this many pixels over a window count as equal."""

_LARGEST_SOURCE_PX = 4096 * 4096
"""A warp reads at most about this many source pixels at once; larger ones are done in parts."""


@dataclass(frozen=True)
class Alignment:
    """How the pixels of one grid are found, unchanged, in an array read from another.

    Parameters
    ----------
    window
        The pixels to read, in the source grid; may reach beyond its border.
    transposed
        Whether rows of the target run along columns of the source.
    flip_rows, flip_cols
        Whether rows, columns of the target run backwards (after transposing).
    """

    window: Window
    transposed: bool = False
    flip_rows: bool = False
    flip_cols: bool = False

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Flip and transpose an array read from the window, ``(..., row, col)``, to the target's orientation."""
        if self.transposed:
            values = values.swapaxes(-1, -2)
        rows = slice(None, None, -1 if self.flip_rows else 1)
        cols = slice(None, None, -1 if self.flip_cols else 1)
        return np.ascontiguousarray(values[..., rows, cols])


def align(source: Grid, target: Grid) -> Alignment | None:
    """Find the window of one grid whose pixels are exactly those of another.

    South-up, mirrored and grids rotated by 90 degrees are matched too, because flipping and transposing are lossless.

    Parameters
    ----------
    source
        The grid that is read.
    target
        The grid that is wanted; it may reach beyond the source.

    Returns
    -------
    Alignment or None
        None where CRS, pixel size or pixel edges differ, so that only resampling can help.

    Examples
    --------
    >>> grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 500000, 0, -10, 5700000), 100, 200)
    >>> align(grid, grid.crop(Window(30, 20, 8, 4))).window
    Window(col_off=30, row_off=20, width=8, height=4)
    """
    if source.crs != target.crs:
        return None
    m = source.pixel_transform(target)
    transposed = abs(m.b) > abs(m.a)
    across, along = ((m.b, m.d), (m.a, m.e)) if transposed else ((m.a, m.e), (m.b, m.d))
    reach = max(target.height, target.width)
    error = max(abs(abs(v) - 1) for v in across) + max(abs(v) for v in along)
    if error * reach > _TOLERANCE_PX:
        return None
    if max(abs(m.c - round(m.c)), abs(m.f - round(m.f))) > _TOLERANCE_PX:
        return None
    end_col, end_row = m @ (target.width, target.height)
    left, right = sorted((round(m.c), round(end_col)))
    top, bottom = sorted((round(m.f), round(end_row)))
    flip_rows, flip_cols = (m.b < 0, m.d < 0) if transposed else (m.e < 0, m.a < 0)
    return Alignment(
        Window(left, top, right - left, bottom - top), transposed, flip_rows, flip_cols
    )


def read_onto(
    scene: Scene,
    grid: Grid,
    resampling: ResamplingName = "bilinear",
    *,
    scale_of: Grid | None = None,
) -> Chip:
    """Read a scene on the pixels of any grid.

    Where the grids' pixels coincide the values are those of the file, untouched. Elsewhere they are resampled;
    where the target is coarser the kernel widens with it, so that fine detail does not alias.

    Parameters
    ----------
    scene
        What is read.
    grid
        The pixels that are wanted; what lies beyond the scene is invalid.
    resampling
        ``bilinear`` for imagery, ``nearest`` or ``mode`` for classes.
    scale_of
        The grid that ``grid`` is a window of, so that all windows of it are resampled with one kernel.

    Returns
    -------
    Chip
        Image ``(band, row, col)`` and validity ``(row, col)`` of the grid's shape. After resampling a pixel is
        valid where at least half of its weight came from valid pixels.
    """
    grid = grid.shifted_towards(scene.grid)
    alignment = align(scene.grid, grid)
    if alignment is not None:
        chip = scene.read(alignment.window)
        return Chip(alignment.apply(chip.image), alignment.apply(chip.valid), chip.undeclared_nan)
    options = {"resampling": Resampling[resampling], **_kernel_scale(scene.grid, scale_of or grid)}
    image = np.zeros((len(scene.bands), *grid.shape), dtype=np.float32)
    valid = np.zeros(grid.shape, dtype=bool)
    undeclared = _warp_parts(scene, grid, grid.window, options, image, valid)
    return Chip(image, valid, undeclared)


def _warp_parts(
    scene: Scene,
    grid: Grid,
    part: Window,
    options: Mapping[str, Any],
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> int:
    """Warp one part of the grid into the arrays, halving it while it needs too many source pixels."""
    target = grid.crop(part)
    window = _source_window(scene.grid, target)
    if window.width * window.height > _LARGEST_SOURCE_PX and max(part.width, part.height) > 8:
        return sum(_warp_parts(scene, grid, half, options, image, valid) for half in _halves(part))
    if window.width == 0 or window.height == 0:
        return 0
    chip = scene.read(window)
    rows, cols = part.toslices()
    image[:, rows, cols], valid[rows, cols] = _warp(chip, scene.grid.crop(window), target, options)
    return chip.undeclared_nan


def _halves(part: Window) -> tuple[Window, Window]:
    if part.height >= part.width:
        half = part.height // 2
        return (
            Window(part.col_off, part.row_off, part.width, half),
            Window(part.col_off, part.row_off + half, part.width, part.height - half),
        )
    half = part.width // 2
    return (
        Window(part.col_off, part.row_off, half, part.height),
        Window(part.col_off + half, part.row_off, part.width - half, part.height),
    )


def _source_window(source: Grid, target: Grid, steps: int = 9) -> Window:
    """Return the part of the source grid that a target grid needs, with room for the kernel."""
    along = np.linspace(0.0, 1.0, steps)
    row, col = (v.ravel() for v in np.meshgrid(along * target.height, along * target.width))
    x, y = transform_coordinates(*target.pixel_to_world(row, col), target.crs, source.crs)
    row, col = source.world_to_pixel(x, y)
    seen = np.isfinite(row) & np.isfinite(col)
    if not seen.any():
        return Window(0, 0, 0, 0)
    row, col = row[seen], col[seen]
    pixels = max(np.ptp(row) / target.height, np.ptp(col) / target.width, 1.0)
    margin = math.ceil(2 * pixels) + 2
    top, left = math.floor(row.min()) - margin, math.floor(col.min()) - margin
    bottom, right = math.ceil(row.max()) + margin, math.ceil(col.max()) + margin
    return clip_window(Window(left, top, right - left, bottom - top), source.shape)


def _warp(
    chip: Chip, source: Grid, target: Grid, options: Mapping[str, Any]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample pixels; where some are invalid, validity is resampled as an additional band."""
    values = chip.image
    gaps: dict[str, Any] = {"init_dest_nodata": False}
    if not chip.valid.all():
        values = np.concatenate([values, chip.valid[None].astype(np.float32)])
        values[:-1, ~chip.valid] = np.nan
        gaps = {"src_nodata": np.nan, "dst_nodata": np.nan}
    moved = np.full((len(values), *target.shape), np.nan, dtype=np.float32)
    reproject(
        values,
        moved,
        src_transform=source.transform,
        src_crs=source.crs,
        dst_transform=target.transform,
        dst_crs=target.crs,
        tolerance=_TOLERANCE_PX,
        **gaps,
        **options,
    )
    image = moved[: len(chip.image)]
    valid = ~np.isnan(image).any(axis=0)
    if len(moved) > len(image):
        valid &= moved[-1] >= 0.5
    if not valid.all():
        image[:, ~valid] = 0.0
    return image, valid


def _kernel_scale(source: Grid, target: Grid) -> dict[str, float]:
    """Return how many target pixels there are to a source pixel, in the middle of the target.

    GDAL would derive it from each window separately, and values would differ at the borders of windows.
    """
    row = np.array([0.5, 0.5, 1.5]) + target.height / 2
    col = np.array([0.5, 1.5, 0.5]) + target.width / 2
    x, y = transform_coordinates(*target.pixel_to_world(row, col), target.crs, source.crs)
    row, col = source.world_to_pixel(x, y)
    along_col, along_row = np.hypot(row[1:] - row[0], col[1:] - col[0]).tolist()
    if not (math.isfinite(along_col) and math.isfinite(along_row)):
        return {}
    return {"XSCALE": 1 / along_col, "YSCALE": 1 / along_row}


@dataclass(frozen=True, kw_only=True)
class WarpedScene(Scene):
    """A scene on another grid, resampled window by window as it is read; made by `warped`.

    Parameters
    ----------
    source
        The scene on its own grid.
    resampling
        How values between pixels are found.
    """

    source: Scene = field()
    resampling: ResamplingName = "bilinear"

    def read(self, window: Window | None = None) -> Chip:
        """Read a window of this grid, which may reach beyond its border; see `read_onto`."""
        grid = self.grid if window is None else self.grid.crop(window)
        return read_onto(self.source, grid, self.resampling, scale_of=self.grid)

    def with_bands(self, bands: Sequence[Band]) -> Scene:
        """Return the same view with these bands, in this order; they may be computed ones."""
        return warped(self.source.with_bands(bands), self.grid, self.resampling)

    def with_radiometry(self, transform: Radiometry | None) -> Scene:
        """Return the same view with its values moved as they are read, before they are resampled."""
        return warped(self.source.with_radiometry(transform), self.grid, self.resampling)


def warped(scene: Scene, grid: Grid, resampling: ResamplingName = "bilinear") -> Scene:
    """Return a scene resampled to another grid when it is read; nothing is written.

    Parameters
    ----------
    scene
        The scene; its file is not touched.
    grid
        The grid that it should have, from `scaled_grid`, `projected_grid` or another scene.
    resampling
        ``bilinear`` for imagery, ``nearest`` for classes.

    Returns
    -------
    Scene
        Reads like any other scene; the scene itself where it has that grid already.
    """
    if scene.grid == grid:
        return scene
    described = {f.name: getattr(scene, f.name) for f in fields(Scene)}
    return WarpedScene(**described | {"grid": grid}, source=scene, resampling=resampling)


def in_resolution(
    scene: Scene, resolution_m: float, *, tolerance: float = 1.25, reporter: Reporter | None = None
) -> Scene:
    """Return a scene resampled to another pixel size where its own differs, with a warning.

    Parameters
    ----------
    scene
        The scene.
    resolution_m
        The side of a pixel wanted, in metres.
    tolerance
        Pixels up to so many times as large or small are taken as they are.
    reporter
        Warned with the factor.

    Returns
    -------
    Scene
        The scene itself where its pixels are of that size, to the tolerance.
    """
    factor = resolution_m / scene.grid.resolution_m
    if 1 / tolerance <= factor <= tolerance:
        return scene
    (reporter or Reporter()).warn(
        f"The pixels of '{scene.name}' are {scene.grid.resolution_m:.3g} m and those of the first scene "
        f"{resolution_m:.3g} m. It is resampled as it is read, to pixels {factor:.3g} times as large, so that objects "
        "have the same size in pixels in all scenes.",
        resampling_factor=round(factor, 4),
    )
    return warped(scene, scaled_grid(scene.grid, factor))


def scaled_grid(grid: Grid, factor: float) -> Grid:
    """Return a grid over the same area with pixels ``factor`` times as large.

    Orientation and the outer corner of the first pixel stay; the last row and column may reach beyond the
    old border by less than a pixel.

    Raises
    ------
    RasterError
        If the factor is not a positive number.

    Examples
    --------
    >>> grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 500000, 0, -10, 5700000), 100, 205)
    >>> scaled_grid(grid, 2).shape
    (50, 103)
    """
    if not (math.isfinite(factor) and factor > 0):
        raise RasterError(
            f"The pixel size was to be multiplied by {factor}. Expected a positive number; "
            "check the resolutions that it was computed from."
        )
    height, width = (max(1, math.ceil(side / factor - 1e-6)) for side in grid.shape)
    transform = grid.transform @ Affine.scale(factor)
    return replace(grid, transform=transform, height=height, width=width)


def projected_grid(
    grid: Grid, crs: CRS, resolution: float | tuple[float, float] | None = None
) -> Grid:
    """Return a north-up grid in another CRS that covers a grid.

    Parameters
    ----------
    grid
        The grid to be covered.
    crs
        The CRS wanted.
    resolution
        Pixel width and height in units of that CRS; by default such that the diagonal keeps its number of
        pixels, as GDAL does.

    Returns
    -------
    Grid
        Its corner lies on a multiple of the pixel size, so that grids of neighbouring scenes coincide.
    """
    if resolution is None:
        suggested, _, _ = calculate_default_transform(
            grid.crs, crs, grid.width, grid.height, *grid.bounds
        )
        resolution = (suggested.a, -suggested.e)
    return covering_grid(grid.bounds_in(crs), crs, resolution)


def covering_grid(bounds: Bounds, crs: CRS, resolution: float | tuple[float, float]) -> Grid:
    """Return the north-up grid whose pixels lie on multiples of their size and cover a box.

    Parameters
    ----------
    bounds
        The box to cover: xmin, ymin, xmax, ymax.
    crs
        Its CRS.
    resolution
        Pixel size, or pixel width and height, in units of the CRS.

    Returns
    -------
    Grid
        At least one pixel.
    """
    width, height = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    west, south, east, north = bounds
    left, right = math.floor(west / width + 1e-6), math.ceil(east / width - 1e-6)
    bottom, top = math.floor(south / height + 1e-6), math.ceil(north / height - 1e-6)
    transform = from_origin(left * width, top * height, width, height)
    return Grid(crs, transform, max(1, top - bottom), max(1, right - left))
