"""Synthetic embeddings of a known truth, written in the layouts of published products.

No file of a product was at hand. The writers follow the published descriptions of the layouts, so what reads them is tested
against these descriptions only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geopointseg.lab.synthetic_landscape import Landscape, make_landscape
from geopointseg.raster.grid import Grid
from geopointseg.summary import described

ALPHA_EARTH_NODATA = -128
_VARIANTS = 3
_CLASS_SPREAD, _VARIANT_SPREAD = 0.42, 0.3
"""Standard deviations of the directions of classes and of their variants, relative to what all pixels have in common."""
_NOISE, _SMOOTH_NOISE = 0.6, 0.7
"""Standard deviations of noise of single pixels and of noise that neighbours share."""


@described
@dataclass(frozen=True, eq=False)
class SyntheticEmbedding:
    """Vectors of a landscape of known classes.

    Parameters
    ----------
    vectors
        float32 ``(dimension, row, col)``, of length 1.
    landscape
        Truth, validity, grid and legend; pixels of 10 m.
    """

    vectors: NDArray[np.float32]
    landscape: Landscape

    def _summary(self) -> list[str]:
        height, width = self.landscape.grid.shape
        return [
            f"SyntheticEmbedding: {len(self.vectors)} dimensions, {height} rows x {width} columns"
        ]

    @property
    def grid(self) -> Grid:
        """Where the pixels lie."""
        return self.landscape.grid


def make_embedding(
    height: int = 160, width: int = 240, *, dimensions: int = 64, seed: int = 0, year: int = 0
) -> SyntheticEmbedding:
    """Generate unit vectors of a synthetic landscape.

    Each class has a few directions in the space of the vectors, and each pixel is one of them with noise: the mean of a class
    is not what a pixel of it looks like, as in real products.

    Parameters
    ----------
    height, width
        Size in pixels of 10 m.
    dimensions
        Length of the vectors.
    seed
        Seed of landscape, directions and noise.
    year
        Seed of the noise alone, so that years differ little.

    Returns
    -------
    SyntheticEmbedding
        Vectors and truth.
    """
    from scipy.ndimage import gaussian_filter

    landscape = make_landscape(height, width, seed=seed)
    pixel = Affine(10, 0, 399_000, 0, -10, 5_650_000)
    landscape = replace(landscape, grid=replace(landscape.grid, transform=pixel))
    rng = np.random.default_rng([seed, 1])
    classes = len(landscape.legend)
    common = rng.standard_normal(dimensions)
    mean = rng.standard_normal((classes, 1, dimensions))
    spread = rng.standard_normal((classes, _VARIANTS, dimensions))
    directions = common + _CLASS_SPREAD * mean + _VARIANT_SPREAD * spread
    relief = [gaussian_filter(rng.standard_normal((height, width)), 6) for _ in range(_VARIANTS)]
    variant = np.argmax(relief, axis=0)
    vectors = directions[landscape.truth, variant].transpose(2, 0, 1)
    noise = np.random.default_rng([seed, 2, year]).standard_normal(vectors.shape)
    smooth = gaussian_filter(noise, (0, 3, 3))
    vectors = vectors + _NOISE * noise + _SMOOTH_NOISE / smooth.std() * smooth
    vectors /= np.linalg.norm(vectors, axis=0)
    return SyntheticEmbedding(vectors.astype(np.float32), landscape)


def encode_alpha_earth(vectors: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return AlphaEarth's 8-bit codes of vectors: ``127.5 * sign(x) * sqrt(|x|)``, rounded, and -128 where invalid."""
    codes = np.sign(vectors) * np.sqrt(np.abs(vectors)) * 127.5
    return np.where(valid, np.rint(codes).clip(-127, 127), ALPHA_EARTH_NODATA).astype(np.int8)


def write_alpha_earth(
    embedding: SyntheticEmbedding, path: str | Path, *, year: int = 2024, version: str = "1", named: bool = True
) -> Path:  # fmt: skip
    """Write vectors as AlphaEarth's GeoTIFF: 64 tiled bands A00..A63 of 8-bit codes with nodata -128.

    Parameters
    ----------
    embedding
        The vectors.
    path
        The file.
    year, version
        Tags ``year`` and ``version``.
    named
        Whether the bands have names.

    Returns
    -------
    Path
        The file.
    """
    codes = encode_alpha_earth(embedding.vectors, embedding.landscape.valid)
    names = [f"A{k:02d}" for k in range(len(codes))] if named else []
    tags = {"year": str(year), "version": version}
    return write_bands(path, codes, embedding.grid, names, nodata=ALPHA_EARTH_NODATA, tags=tags)


def write_decoded(
    embedding: SyntheticEmbedding, path: str | Path, *, year: int = 2024, version: str = "1"
) -> Path:
    """Write what AlphaEarth's 8-bit codes decode to, as a GeoTIFF of floats with the same names.

    Parameters
    ----------
    embedding
        The vectors.
    path
        The file.
    year, version
        Tags ``year`` and ``version``.

    Returns
    -------
    Path
        The file.
    """
    valid = embedding.landscape.valid
    codes = encode_alpha_earth(embedding.vectors, valid).astype(np.float64)
    decoded = np.where(valid, np.sign(codes) * (codes / 127.5) ** 2, np.nan).astype(np.float32)
    names = [f"A{k:02d}" for k in range(len(codes))]
    tags = {"year": str(year), "version": version}
    return write_bands(path, decoded, embedding.grid, names, nodata=float("nan"), tags=tags)


def encode_tessera(
    embedding: SyntheticEmbedding, *, per_value: bool = False
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return TESSERA's 8-bit codes and scales of vectors.

    Parameters
    ----------
    embedding
        The vectors.
    per_value
        Whether each value has a scale of its own.

    Returns
    -------
    codes
        int8 ``(row, col, dimension)``.
    scales
        float32 ``(row, col)`` or ``(row, col, dimension)``, NaN where invalid.
    """
    vectors = embedding.vectors.transpose(1, 2, 0)
    scales = np.abs(vectors).max(axis=2) / 127
    scales = np.where(embedding.landscape.valid, scales, np.nan).astype(np.float32)
    known = np.nan_to_num(scales, nan=1.0)[..., None]
    if per_value:
        steps = 1 + np.arange(vectors.shape[2]) % 3
        known, scales = known * steps, (scales[..., None] * steps).astype(np.float32)
    codes = np.rint(vectors / known).clip(-127, 127).astype(np.int8)
    return codes, scales.astype(np.float32)


def write_tessera(
    embedding: SyntheticEmbedding, folder: str | Path, *, version: str = "1.1", year: int = 2024,
    per_value: bool = False, channel_first: bool = False, scales: bool = True, land_mask: bool = True,
) -> Path:  # fmt: skip
    """Write vectors as a TESSERA grid: NumPy arrays of codes and scales, and a land mask with the georeference.

    Parameters
    ----------
    embedding
        The vectors.
    folder
        Gets sub-folders for version and year.
    version, year
        Names of the sub-folders.
    per_value
        Whether each value has a scale of its own.
    channel_first
        Whether the dimensions come first, as in chunks of TESSERA v2.
    scales, land_mask
        Whether these files are written.

    Returns
    -------
    Path
        The array of codes.
    """
    codes, factors = encode_tessera(embedding, per_value=per_value)
    path = Path(folder) / f"v{version}" / str(year) / "grid_13.55_50.95.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ascontiguousarray(codes.transpose(2, 0, 1)) if channel_first else codes)
    if scales:
        np.save(path.with_name(f"{path.stem}_scales.npy"), factors)
    if land_mask:
        mask = embedding.landscape.valid[None].astype(np.uint8)
        write_bands(path.with_suffix(".tiff"), mask, embedding.grid, [])
    return path


def write_tessera_geotiff(
    embedding: SyntheticEmbedding, path: str | Path, *, version: str = "v1.1", year: int = 2024
) -> Path:
    """Write vectors as TESSERA's GeoTIFF export: decoded floats, NaN where invalid, with the tags of geotessera.

    Parameters
    ----------
    embedding
        The vectors.
    path
        The file.
    version, year
        For the tags.

    Returns
    -------
    Path
        The file.
    """
    codes, scales = encode_tessera(embedding)
    values = (codes * scales[..., None]).transpose(2, 0, 1).astype(np.float32)
    names = [f"Tessera_Band_{k}" for k in range(len(values))]
    tags = {"TESSERA_DATASET_VERSION": version, "TESSERA_YEAR": str(year)}
    return write_bands(path, values, embedding.grid, names, nodata=float("nan"), tags=tags)


def write_quantized(embedding: SyntheticEmbedding, folder: str | Path) -> Path:
    """Write vectors as a folder of 8-bit GeoTIFFs, one a dimension, with their limits in ``quantization.json``.

    Parameters
    ----------
    embedding
        The vectors.
    folder
        Created if it does not exist.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    low, high = embedding.vectors.min(axis=(1, 2)), embedding.vectors.max(axis=(1, 2))
    steps = (high - low)[:, None, None] / 255
    codes = np.rint((embedding.vectors - low[:, None, None]) / steps).astype(np.uint8)
    for k, plane in enumerate(codes):
        write_bands(folder / f"dim_{k:03d}.tif", plane[None], embedding.grid, [])
    limits = {"min": low.astype(float).tolist(), "max": high.astype(float).tolist()}
    (folder / "quantization.json").write_text(json.dumps(limits), encoding="utf-8")
    return folder


def write_zarr(
    embedding: SyntheticEmbedding, store: str | Path, *, version: str = "v1", year: int = 2024
) -> Path:
    """Write vectors as a Zarr store of a UTM zone: groups ``utmNN`` with the arrays ``embeddings`` and ``scales``.

    Parameters
    ----------
    embedding
        The vectors.
    store
        The folder of the store.
    version, year
        For the attributes.

    Returns
    -------
    Path
        The store.
    """
    import zarr

    codes, scales = encode_tessera(embedding)
    group: Any = zarr.open_group(str(store), mode="w").create_group("utm33")
    for name, values in (("embeddings", codes), ("scales", scales)):
        chunks = (64, 64, *values.shape[2:])
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)
        array[:] = values
    group.attrs.update(
        {
            "utm_zone": 33,
            "year": year,
            "crs_epsg": embedding.grid.crs.to_epsg(),
            "transform": list(embedding.grid.transform[:6]),
            "tessera_dataset_version": version,
        }
    )
    return Path(store)


def write_bands(
    path: str | Path, values: NDArray[Any], grid: Grid, names: Sequence[str], *, nodata: float | None = None,
    tags: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write planes as a tiled GeoTIFF.

    Parameters
    ----------
    path
        The file.
    values
        ``(band, row, col)``.
    grid
        Where they lie.
    names
        Names of the bands; none writes no names.
    nodata
        Declared nodata value.
    tags
        Tags of the file.

    Returns
    -------
    Path
        The file.
    """
    profile = {
        "driver": "GTiff", "count": len(values), "dtype": values.dtype, "crs": grid.crs, "transform": grid.transform,
        "height": grid.height, "width": grid.width, "nodata": nodata, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "interleave": "pixel", "compress": "zstd", "bigtiff": "IF_SAFER",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(values)
        for k, name in enumerate(names, start=1):
            dataset.set_band_description(k, name)
        dataset.update_tags(**(tags or {}))
    return Path(path)
