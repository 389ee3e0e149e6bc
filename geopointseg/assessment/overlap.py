"""Whether test points were training points, asked of the map alone.

A map that is tested on the points it was trained on looks better than it is. So the model keeps the places of
its training points as short hashes, the predictor copies them into the map's tags, and the assessment compares.
The hashes do not tell where the points are, only whether a given place is among them.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS

from geopointseg.raster.datum import datum_of, geodetic_coordinates
from geopointseg.raster.grid import transform_coordinates

TRAINING_TAG = "GEOPOINTSEG_TRAINING_POINTS"
"""The map's tag that holds what `encode_locations` returns; several models' strings are joined by commas."""

LARGEST_COUNT = 20_000
"""Above this many places the ones with the smallest hashes stand for all of them."""

_CELL_DEGREES = 1e-6
_CELL_M = 0.1
_HASH_BYTES = 5
_WGS84 = CRS.from_epsg(4326)


def encode_locations(x: ArrayLike, y: ArrayLike, crs: CRS) -> str:
    """Turn places into a short text from which they can be recognized but not read.

    Places are compared as longitude and latitude in cells of a millionth of a degree (11 cm or less), so points
    that were stored in another CRS in between are still recognized.

    Parameters
    ----------
    x, y
        World coordinates, ``(point,)``.
    crs
        Their coordinate reference system.

    Returns
    -------
    str
        Base64 of sorted 40-bit hashes; at most 20 000 of them (133 kB).

    Examples
    --------
    >>> text = encode_locations([500000.0], [5700000.0], CRS.from_epsg(32633))
    >>> recognize_locations([15.0], [51.451252], CRS.from_epsg(4326), text).tolist()
    [False]
    """
    lon, lat = _comparable(x, y, crs)
    placed = np.isfinite(lon) & np.isfinite(lat)
    hashes = np.unique(_hash_cells(lon[placed], lat[placed]))[:LARGEST_COUNT]
    return base64.b64encode(_to_bytes(hashes)).decode("ascii")


def recognize_locations(x: ArrayLike, y: ArrayLike, crs: CRS, encoded: str) -> NDArray[np.bool_]:
    """Say which places are among the encoded ones.

    Parameters
    ----------
    x, y
        World coordinates, ``(point,)``.
    crs
        Their coordinate reference system.
    encoded
        Text from `encode_locations`; several joined by commas are looked through together.

    Returns
    -------
    ndarray
        bool ``(point,)``. A place next to a cell's border is looked for on both sides of it.
    """
    lon, lat = _comparable(x, y, crs)
    known = np.unique(
        np.concatenate([_from_bytes(base64.b64decode(part)) for part in encoded.split(",")])
    )
    found = np.zeros(lon.shape, dtype=bool)
    placed = np.isfinite(lon) & np.isfinite(lat)
    for dx in (-0.1, 0.1):
        for dy in (-0.1, 0.1):
            nudged = _hash_cells(lon[placed] + dx * _CELL_DEGREES, lat[placed] + dy * _CELL_DEGREES)
            found[placed] |= np.isin(nudged, known)
    return found


def _comparable(
    x: ArrayLike, y: ArrayLike, crs: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places in degrees, alike in all CRSs of one ground; on a site grid, 0.1 m counts as a cell."""
    datum = datum_of(crs)
    if datum.is_planar:
        cells = datum.metres / _CELL_M * _CELL_DEGREES
        return np.asarray(x, float) * cells, np.asarray(y, float) * cells
    if datum.is_earth:
        return transform_coordinates(x, y, crs, _WGS84)
    return geodetic_coordinates(x, y, crs)


def _hash_cells(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Hash cells with the finalizer of SplitMix64, which changes half of all bits for any change of the cell."""
    col = np.floor(lon / _CELL_DEGREES).astype(np.int64).astype(np.uint64)
    row = np.floor(lat / _CELL_DEGREES).astype(np.int64).astype(np.uint64)
    mixed = (row << np.uint64(32)) ^ (col & np.uint64(0xFFFFFFFF))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed >> np.uint64(64 - 8 * _HASH_BYTES))


def _to_bytes(hashes: NDArray[np.uint64]) -> bytes:
    return hashes.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_HASH_BYTES].tobytes()


def _from_bytes(packed: bytes) -> NDArray[np.uint64]:
    hashes = np.zeros((len(packed) // _HASH_BYTES, 8), dtype=np.uint8)
    usable = len(hashes) * _HASH_BYTES
    hashes[:, :_HASH_BYTES] = np.frombuffer(packed[:usable], np.uint8).reshape(-1, _HASH_BYTES)
    return hashes.view("<u8").ravel().astype(np.uint64)
