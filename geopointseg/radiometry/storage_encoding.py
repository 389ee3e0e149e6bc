"""How values are stored in a raster that is written: data type, scale, nodata, blocks and compression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.radiometry.radiometric_transform import RadiometricTransform
from geopointseg.raster.raster_access import HANDLES
from geopointseg.raster.scene import Scene

_LOSSLESS = {"deflate", "lzw", "zstd", "packbits", "lerc", "lzma"}


@dataclass(frozen=True)
class StorageEncoding:
    """How physical values are stored in the output.

    Parameters
    ----------
    dtype
        Data type on disk.
    scale, offset
        Physical value = stored value * scale + offset.
    nodata
        Declared nodata value; None for none.
    """

    dtype: str
    scale: float
    offset: float
    nodata: float | None

    def encode(self, physical: NDArray[np.float32]) -> NDArray[Any]:
        """Return stored values of valid pixels: rounded, clipped, and never the nodata value."""
        if np.dtype(self.dtype).kind == "f":
            return np.asarray(physical, dtype=self.dtype)
        levels = (physical.astype(np.float64) - self.offset) / self.scale
        lowest, highest = _limits(self.dtype)
        stored = np.clip(np.rint(levels), lowest, highest).astype(self.dtype)
        if self.nodata is not None:
            step = -1 if self.nodata == highest else 1
            stored[stored == self.nodata] += step
        return stored


def _limits(dtype: str) -> tuple[int, int]:
    """Return the smallest and largest integer of a type that 64-bit floats hold, as rasterio writes nodata."""
    info, exact = np.iinfo(dtype), 2**53
    return max(int(info.min), -exact), min(int(info.max), exact)


def choose_encoding(
    scene: Scene, transform: RadiometricTransform, references: Sequence[Scene]
) -> StorageEncoding:
    """Choose how a matched raster is stored.

    As the first reference where its bands are scaled alike, else as the raster where the values fit, else as floats.

    Parameters
    ----------
    scene
        The raster.
    transform
        How its values are moved.
    references
        Scenes whose values it is matched to; may be empty.

    Returns
    -------
    StorageEncoding
        With a nodata value where one is needed.
    """
    pattern = references[0] if references else scene
    first = pattern.bands[0]
    alike = all((b.scale, b.offset) == (first.scale, first.offset) for b in pattern.bands)
    if references and not alike:
        return choose_encoding(scene, transform, ())
    low = min(curve.target[0] for curve in transform.curves)
    high = max(curve.target[-1] for curve in transform.curves)
    dtype, scale, offset = pattern.dtype, first.scale, first.offset
    if np.dtype(dtype).kind in "iu":
        lowest, highest = _limits(dtype)
        levels = (high - low) / abs(scale)
        ends = ((low - offset) / scale, (high - offset) / scale)
        fits = alike and levels >= 16 and lowest <= min(ends) and max(ends) <= highest
        if not fits and pattern is scene:
            dtype, scale, offset = "float32", 1.0, 0.0
    if np.dtype(dtype).kind == "f":
        scale, offset = 1.0, 0.0
    return StorageEncoding(dtype, scale, offset, _choose_nodata(scene, dtype, pattern))


def _choose_nodata(scene: Scene, dtype: str, pattern: Scene) -> float | None:
    """Return the raster's nodata value, or the reference's, or a limit of the type; None where none is needed."""
    kind = np.dtype(dtype).kind
    needed = any(band.may_lack_pixels for band in scene.bands)
    if kind == "f":
        return float("nan")
    if not needed and np.dtype(scene.dtype).kind != "f":
        return None
    lowest, highest = _limits(dtype)
    for band in (*scene.bands, *pattern.bands):
        value = band.nodata
        if value is not None and lowest <= value <= highest and value == round(value):
            return float(value)
    return float(lowest)


def output_profile(scene: Scene, encoding: StorageEncoding) -> dict[str, Any]:
    """Return rasterio's profile of the output: blocks and compression of the raster, where that is lossless."""
    source = HANDLES.get(scene.path)
    compression = source.compression.name.lower() if source.compression else ""
    rows, cols = scene.block_shape
    tiled = cols < scene.grid.width and rows % 16 == 0 and cols % 16 == 0
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": len(scene.bands),
        "dtype": encoding.dtype,
        "nodata": encoding.nodata,
        "crs": scene.grid.crs,
        "transform": scene.grid.transform,
        "height": scene.grid.height,
        "width": scene.grid.width,
        "bigtiff": "IF_SAFER",
        "interleave": source.interleaving.name.lower() if source.interleaving else "pixel",
        "photometric": "MINISBLACK",
    }
    if tiled:
        profile |= {"tiled": True, "blockysize": rows, "blockxsize": cols}
    elif min(scene.grid.shape) >= 512:
        profile |= {"tiled": True, "blockysize": 512, "blockxsize": 512}
    if compression and compression != "uncompressed":
        lossless = compression if compression in _LOSSLESS else "deflate"
        profile |= {"compress": lossless, "num_threads": "all_cpus"}
    return profile
