"""Distances in metres: geodesic where a CRS has an ellipsoid, planar where it has none.

A projection is true to scale only near certain lines. At 68 degrees north, 1 m is 2.7 m long in Web Mercator. Distances
are therefore those of geodesics on the CRS's own ellipsoid, which may be that of the Moon. Site grids and other
engineering CRSs have no ellipsoid. Their distances are planar, in the CRS's own unit converted to metres.

Neighbours are searched by chords: places get geocentric coordinates, where a k-d tree needs no special treatment of the
date line and the poles. A chord is never longer than its geodesic, and 1 mm shorter at 10 km.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS

from geopointseg.raster.coordinates import geodetic_coordinates
from geopointseg.raster.datum import Array, Datum, datum_at, geod_of, place_in_space

_NEIGHBOURS = 4
"""Neighbours by chord among which the nearest by geodesic is sought."""


def measure_distance(
    x: ArrayLike, y: ArrayLike, other_x: ArrayLike, other_y: ArrayLike, crs: CRS
) -> Array:
    """Return the distances in metres between pairs of places.

    Geodesic on the CRS's ellipsoid; planar where it has none.

    Parameters
    ----------
    x, y, other_x, other_y
        World coordinates in ``crs``, ``(pair,)``.
    crs
        Their coordinate reference system.

    Returns
    -------
    numpy.ndarray
        Metres, float64 ``(pair,)``; infinite where a place cannot be found.

    Examples
    --------
    Two places at 68 degrees north, across the date line:

    >>> degrees = CRS.from_epsg(4326)
    >>> measure_distance([179.999], [68.0], [-179.999], [68.0], degrees).round(2).tolist()
    [83.64]
    """
    x, y, other_x, other_y = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (x, y, other_x, other_y))
    )
    datum = datum_at(np.concatenate([x, other_x]), crs)
    return Positions.of(x, y, crs, datum=datum).distance(
        Positions.of(other_x, other_y, crs, datum=datum)
    )


@dataclass(frozen=True, eq=False)
class Positions:
    """Places whose distances can be measured, made by `Positions.of`.

    Parameters
    ----------
    space_m
        Coordinates in metres, ``(place, 2)`` in a plane or geocentric ``(place, 3)``. Not finite where a place cannot
        be found.
    lonlat
        Longitude and latitude in degrees, ``(place, 2)``; None in a plane.
    datum
        The body; None in a plane.
    """

    space_m: Array
    lonlat: Array | None = None
    datum: Datum | None = None

    @classmethod
    def in_plane(cls, x_m: ArrayLike, y_m: ArrayLike) -> Positions:
        """Return places in a plane of metres."""
        return cls(np.column_stack([np.asarray(x_m, float), np.asarray(y_m, float)]))

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, crs: CRS, *, datum: Datum | None = None) -> Positions:
        """Return the positions of world coordinates in a CRS.

        Distances between two sets need one datum: pass that of the first to the second.

        Parameters
        ----------
        x, y
            World coordinates in ``crs``, float64 ``(place,)``.
        crs
            Their coordinate reference system.
        datum
            The datum to measure on; that of the CRS by default, see `datum_at`.

        Returns
        -------
        Positions
            One for each place.
        """
        x = np.atleast_1d(np.asarray(x, dtype=np.float64))
        y = np.atleast_1d(np.asarray(y, dtype=np.float64))
        datum = datum or datum_at(x, crs)
        if datum.is_planar:
            return cls.in_plane(x * datum.metres, y * datum.metres)
        lon, lat = geodetic_coordinates(x, y, crs)
        return cls(place_in_space(lon, lat, datum), np.column_stack([lon, lat]), datum)

    def __len__(self) -> int:
        return len(self.space_m)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which places can be found at all, bool ``(place,)``."""
        return np.asarray(np.isfinite(self.space_m).all(axis=1))

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Positions:
        """Return the places that a mask or an index array chooses."""
        lonlat = None if self.lonlat is None else self.lonlat[chosen]
        return Positions(self.space_m[chosen], lonlat, self.datum)

    def distance(self, other: Positions) -> Array:
        """Return the distance in metres from each place to the same place of others; infinite for lost ones."""
        gap = np.sqrt(((self.space_m - other.space_m) ** 2).sum(axis=1))
        if self.datum is not None and self.lonlat is not None and other.lonlat is not None:
            known = np.isfinite(gap)
            ends = (self.lonlat[known].T, other.lonlat[known].T)
            gap[known] = geod_of(self.datum).inv(*ends[0], *ends[1])[2]
        return np.where(np.isfinite(gap), gap, np.inf)

    def are_nearer(self, index: int, distance_m: float) -> NDArray[np.bool_]:
        """Return which places lie less than a distance from one of them, bool ``(place,)``."""
        chord = np.sqrt(((self.space_m - self.space_m[index]) ** 2).sum(axis=1))
        near = np.asarray(chord < distance_m)
        if self.datum is not None and near.any():  # a chord is shorter than its geodesic
            which = np.flatnonzero(near)
            near[which] = self._distances(np.full(len(which), index), which) < distance_m
        return near

    def nearest(self, others: Positions) -> Array:
        """Return the distance in metres from each place to the nearest of others, ``(place,)``.

        Infinite for places that cannot be found, and where there are no others.
        """
        from scipy.spatial import cKDTree

        found = np.full(len(self), np.inf)
        here, there = np.flatnonzero(self.known), np.flatnonzero(others.known)
        if not len(here) or not len(there):
            return found
        count = 1 if self.datum is None else min(_NEIGHBOURS, len(there))
        chord, index = cKDTree(others.space_m[there]).query(
            self.space_m[here], k=[*range(1, count + 1)]
        )
        if self.datum is None:
            found[here] = chord[:, 0]
            return found
        for column in index.T:
            gap = self.select(here).distance(others.select(there[column]))
            found[here] = np.minimum(found[here], gap)
        return found

    def nearest_neighbour(self) -> Array:
        """Return the distance in metres from each place to the nearest other one, ``(place,)``."""
        from scipy.spatial import cKDTree

        found = np.full(len(self), np.inf)
        here = np.flatnonzero(self.known)
        if len(here) > 1:
            space = self.space_m[here]
            tree = cKDTree(space, balanced_tree=False, compact_nodes=False)
            own = np.asarray(
                tree.indices
            )  # in the order of the tree, queries find their nodes in the cache
            _, index = tree.query(space[own], k=2)
            neighbour = np.where(index[:, 1] == own, index[:, 0], index[:, 1])
            found[here[own]] = self._distances(here[own], here[neighbour])
        return found

    def pairwise(self) -> Array:
        """Return the distances in metres of all pairs in the order of `scipy.spatial.distance.pdist`.

        Arcs over chords, on a sphere of the body's mean radius: right to 10 ppm up to 1000 km.
        """
        from scipy.spatial.distance import pdist

        chord = pdist(self.space_m)
        if self.datum is None:
            return np.asarray(chord)
        radius = (2 * self.datum.semi_major_m + self.datum.semi_minor_m) / 3
        return np.asarray(2 * radius * np.arcsin(np.minimum(chord / (2 * radius), 1.0)))

    def _distances(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Array:
        return self.select(first).distance(self.select(second))
