"""Digests of locations: a known location can be recognized from its digest, but not read from it.

A model folder keeps digests of the locations of its training points, so that test points among them are found. Each
digest is the result of scrypt, a key derivation function that is slow and needs much memory, with a salt of its own for
each model.

Notes
-----
One digest takes 60 ms of one core and 32 MiB (n = 2^15, r = 8), and digests run in parallel on all cores. A test of
1000 points takes some 1.2 x 1000 digests: 75 s of one core. A search for training points among the 10^6 pixel centres
of a scene takes 10^6 digests: 17 hours of one core for each model, because salts differ. For points that do not lie on
pixel centres, a search takes one digest for each cell of 11 cm: 10^10 for a square of 11 km.

Digests of at most 40 locations of a model are kept, a random sample, so that a training spends at most 2.4 s of one core on
them. Where the model folder has its ``training`` folder, locations are compared with the points in it instead.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS

from geopointseg.progress import Reporter
from geopointseg.raster.coordinates import geodetic_coordinates, transform_coordinates
from geopointseg.raster.datum import datum_of

LARGEST_SAMPLE = 40
"""Of more locations a random sample is kept."""

COST = {"n": 2**15, "r": 8, "p": 1}
"""Parameters of scrypt for new digests; stored digests have theirs beside them."""

_LARGEST_COST = 2**20
"""Largest product of n, r and p that is accepted on reading: about 1 s and 1 GiB per digest."""
_MEMORY_BYTES = 2**30 + 2**24
_SALT_BYTES = 16
_DIGEST_BYTES = 8
_CELL_DEGREES = 1e-6
_BORDER = 0.05
"""Share of a cell by which coordinates may differ after files and transformations: 5 mm."""
_CELL_M = 0.1
"""Side of a cell in a planar CRS without longitude, in metres."""
_OLD_BYTES = 5
_ORIGIN = 360_000_000
_THREADS = 8
_BATCH = 64

Encoded = Mapping[str, Any]


def encode_locations(x: ArrayLike, y: ArrayLike, crs: CRS, entropy: bytes = b"") -> dict[str, Any]:
    """Return salted digests of locations.

    Locations are compared by longitude and latitude in cells of 10^-6 degrees (11 cm or less), so points that were
    stored in another CRS in between are still recognized.

    Parameters
    ----------
    x, y
        World coordinates, ``(point,)``.
    crs
        Their coordinate reference system.
    entropy
        Bytes from which salt and sample are derived; random by default. With the weights of the model, a training that
        is repeated with the same seed writes the same file, and the salt cannot be computed without the training data.

    Returns
    -------
    dict
        JSON values: ``kdf``, its parameters ``n``, ``r`` and ``p``, ``salt`` (hexadecimal), ``places`` (the number of
        different locations), and ``digests`` (base64, 8 bytes each, sorted; at most 40 of them).

    Examples
    --------
    >>> known = encode_locations([500000.0], [5700000.0], CRS.from_epsg(32633))
    >>> recognize_locations([15.0, 16.0], [51.4511822, 51.0], CRS.from_epsg(4326), known).tolist()
    [True, False]
    """
    cells = np.unique(locate_cells(x, y, crs))
    stream = hashlib.sha512(entropy or secrets.token_bytes(64)).digest()
    salt, seed = stream[:_SALT_BYTES], np.frombuffer(stream[_SALT_BYTES:], dtype=np.uint32)
    kept = np.random.default_rng(seed).permutation(cells)[:LARGEST_SAMPLE]
    digests = sorted(_digest_cells(kept, salt, COST))
    return {
        "kdf": "scrypt",
        **COST,
        "salt": salt.hex(),
        "places": len(cells),
        "digests": base64.b64encode(b"".join(digests)).decode("ascii"),
    }


def is_sample(encoded: Encoded | str) -> bool:
    """Return whether the digests are of a sample of the locations."""
    if isinstance(encoded, str):
        return False
    return int(encoded["places"]) > len(_split(encoded["digests"], _DIGEST_BYTES))


def recognize_locations(
    x: ArrayLike, y: ArrayLike, crs: CRS, encoded: Encoded | str, reporter: Reporter | None = None
) -> NDArray[np.bool_]:
    """Return which locations are among the encoded ones.

    Parameters
    ----------
    x, y
        World coordinates, ``(point,)``.
    crs
        Their coordinate reference system.
    encoded
        From `encode_locations`; or the text of geopointseg 0.1, where several are joined by commas.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    ndarray
        bool ``(point,)``. A location within 5 mm of the border of a cell is compared with the cells on both sides.

    Raises
    ------
    ValueError
        If the description is damaged, or needs another function or more than 1 GiB.
    """
    if isinstance(encoded, str):
        hashes = _read_old(encoded)
        return _find(x, y, crs, lambda cells: np.isin(_hash_cells(cells), hashes))
    known = set(_split(encoded["digests"], _DIGEST_BYTES))
    salt, cost = bytes.fromhex(encoded["salt"]), _checked_cost(encoded)

    def are_known(cells: NDArray[np.int64]) -> NDArray[np.bool_]:
        digests = _digest_cells(cells, salt, cost, reporter)
        return np.array([digest in known for digest in digests], dtype=bool)

    return _find(x, y, crs, are_known)


def match_locations(
    x: ArrayLike, y: ArrayLike, crs: CRS, cells: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which locations lie in cells.

    Parameters
    ----------
    x, y
        World coordinates, ``(point,)``.
    crs
        Their coordinate reference system.
    cells
        Cell numbers from `locate_cells`.

    Returns
    -------
    ndarray
        bool ``(point,)``.
    """
    return _find(x, y, crs, lambda near: np.isin(near, cells))


def _find(
    x: ArrayLike,
    y: ArrayLike,
    crs: CRS,
    are_known: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """Return which locations have a known cell among those around them; each cell is looked up once."""
    near = _cells_around(x, y, crs)
    placed = near >= 0
    cells, position = np.unique(near[placed], return_inverse=True)
    found = np.zeros(near.shape, dtype=bool)
    if len(cells):
        found[placed] = are_known(cells)[position]
    return np.asarray(found.any(axis=0))


def locate_cells(x: ArrayLike, y: ArrayLike, crs: CRS) -> NDArray[np.int64]:
    """Return the cells of locations.

    Parameters
    ----------
    x, y
        World coordinates, ``(point,)``.
    crs
        Their coordinate reference system.

    Returns
    -------
    ndarray
        Cell numbers, int64, without those of locations that cannot be transformed.
    """
    cells = _number_cells(*_to_degrees(x, y, crs))
    return cells[cells >= 0]


def _to_degrees(
    x: ArrayLike, y: ArrayLike, crs: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitudes and latitudes; in a planar CRS, coordinates scaled so that a cell is 0.1 m."""
    datum = datum_of(crs)
    if datum.is_planar:
        cells = datum.metres / _CELL_M * _CELL_DEGREES
        return np.asarray(x, float) * cells, np.asarray(y, float) * cells
    if datum.is_earth:
        return transform_coordinates(x, y, crs, CRS.from_epsg(4326))
    return geodetic_coordinates(x, y, crs)


def _cells_around(x: ArrayLike, y: ArrayLike, crs: CRS) -> NDArray[np.int64]:
    """Return the cells of locations moved by 5 mm to four corners, int64 ``(4, point)``; -1 where not finite."""
    lon, lat = _to_degrees(x, y, crs)
    step = _BORDER * _CELL_DEGREES
    corners = [(dx, dy) for dx in (-step, step) for dy in (-step, step)]
    return np.stack([_number_cells(lon + dx, lat + dy) for dx, dy in corners])


def _number_cells(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return cell numbers of row and column, counted from 360 degrees south and west; -1 where not finite."""
    placed = np.isfinite(lon) & np.isfinite(lat)
    cells = np.full(lon.shape, -1, dtype=np.int64)
    col = np.floor(lon[placed] / _CELL_DEGREES).astype(np.int64) + _ORIGIN
    row = np.floor(lat[placed] / _CELL_DEGREES).astype(np.int64) + _ORIGIN
    cells[placed] = (row << 32) | col
    return cells


def _digest_cells(
    cells: NDArray[np.int64], salt: bytes, cost: Mapping[str, int], reporter: Reporter | None = None
) -> list[bytes]:
    """Return the digest of each cell, computed on several cores."""

    def digest(cell: int) -> bytes:
        return hashlib.scrypt(
            cell.to_bytes(8, "little"), salt=salt, maxmem=_MEMORY_BYTES, dklen=_DIGEST_BYTES, **cost
        )

    found: list[bytes] = []
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _THREADS)) as pool:
        for start in range(0, len(cells), _BATCH):
            if reporter is not None:
                reporter.progress("training points", start / len(cells), "Comparing locations")
            found += pool.map(digest, cells[start : start + _BATCH].tolist())
    return found


def _checked_cost(encoded: Encoded) -> dict[str, int]:
    cost = {name: int(encoded[name]) for name in ("n", "r", "p")}
    if encoded.get("kdf") != "scrypt" or not 0 < cost["n"] * cost["r"] * cost["p"] <= _LARGEST_COST:
        raise ValueError(
            f"The digests of locations are of an unknown kind: {encoded.get('kdf')} {cost}."
        )
    return cost


def _split(text: str, size: int) -> list[bytes]:
    packed = base64.b64decode(text)
    return [packed[start : start + size] for start in range(0, len(packed) - size + 1, size)]


def _hash_cells(cells: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the hashes of geopointseg 0.1: 40 bits from the finalizer of SplitMix64."""
    col = ((cells & 0xFFFFFFFF) - _ORIGIN).astype(np.uint64)
    row = ((cells >> 32) - _ORIGIN).astype(np.uint64)
    mixed = (row << np.uint64(32)) ^ (col & np.uint64(0xFFFFFFFF))
    return np.asarray(mix_bits(mixed) >> np.uint64(64 - 8 * _OLD_BYTES))


def mix_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finalizer of SplitMix64 of each value: every input bit changes about half of the output bits.

    References
    ----------
    G. L. Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014, doi:10.1145/2660193.2660195.
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _read_old(encoded: str) -> NDArray[np.uint64]:
    """Return the hashes in texts of geopointseg 0.1."""
    parts = [hash_ for text in encoded.split(",") for hash_ in _split(text, _OLD_BYTES)]
    return np.array([int.from_bytes(part, "little") for part in parts], dtype=np.uint64)
