"""Bands that hold no image at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rasterio.windows import Window

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.band import Band
from geopointseg.raster.scene import Scene


def drop_empty_bands(scene: Scene, *, reporter: Reporter | None = None) -> Scene:
    """Return a scene without the bands that are nodata everywhere, with a warning.

    One such band would make every pixel nodata. A band with an image is usually found in its first block, so only
    empty bands are read in full.

    Raises
    ------
    RasterError
        If all bands are empty.
    """
    reporter = reporter or Reporter()
    empty = _find_empty(scene)
    if not empty:
        return scene
    kept = [b for b in scene.bands if not empty.intersection(s.index for s in b.sources)]
    lost = [b.label for b in scene.bands if b not in kept]
    if not kept:
        raise RasterError(
            f"'{scene.name}' holds no image: all its bands ({', '.join(lost)}) are nodata everywhere. Expected "
            "values in some; check the nodata value that the file declares."
        )
    listed = ", ".join(lost)
    reporter.warn(
        f"'{scene.name}': {f'band {lost[0]} holds' if len(lost) == 1 else f'bands {listed} hold'} nodata only and "
        f"{'is' if len(lost) == 1 else 'are'} left out."
    )
    return scene.with_bands(kept)


def require_filled_bands(scene: Scene) -> None:
    """Raise `RasterError` if a band that was asked for is nodata everywhere."""
    empty = _find_empty(scene)
    lost = [b.label for b in scene.bands if empty.intersection(s.index for s in b.sources)]
    if lost:
        raise RasterError(
            f"'{scene.name}' holds nodata only in {'band' if len(lost) == 1 else 'bands'} {', '.join(lost)}, which "
            "the model or the settings ask for. Expected values; use a raster that has them, or leave the band out."
        )


def _find_empty(scene: Scene) -> set[int]:
    """Return the positions in the file of bands without any value."""
    sources = scene.source_bands
    whole = np.dtype(scene.dtype).kind in "iu"
    unseen = {band.index for band in sources if not whole or band.may_lack_pixels}
    if not unseen:
        return unseen
    for window in _centre_first(scene):
        remaining = [band for band in sources if band.index in unseen]
        if _holds_image(scene, remaining, window):
            return set()
        unseen = {b.index for b in remaining if not _holds_image(scene, [b], window)}
        if not unseen:
            break
    return unseen


def _holds_image(scene: Scene, bands: Sequence[Band], window: Window) -> bool:
    """Whether a pixel of a window has a value in all of some bands."""
    stored, valid = scene.with_bands(bands).read_stored(window)
    if stored.dtype.kind == "f":
        valid &= ~np.isnan(stored).any(axis=0)
    return bool(valid.any())


def _centre_first(scene: Scene) -> Iterator[Window]:
    """Yield a small window in the middle, where imagery is likely, and then all of the scene."""
    blocks = list(scene.windows(1 << 16))
    yield blocks[len(blocks) // 2]
    windows = list(scene.windows(1 << 22))
    middle = len(windows) // 2
    yield from windows[middle:]
    yield from windows[:middle]
