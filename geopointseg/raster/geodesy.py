"""Distances on the ground: geodesic where a CRS is tied to the earth or another body, planar where it is not.

The metres of a projection are metres on the ground only near its lines of true scale. Web Mercator shows 2.7 m for each
metre at 68 degrees north. Distances are therefore those of geodesics on the CRS's own ellipsoid, which may be that of
the Moon. Site grids and other engineering CRSs have no ellipsoid; their distances are planar, in the CRS's own unit
turned into metres.

Neighbours are searched by chords: points are placed in the space around the ellipsoid, where a k-d tree knows no date
line and no pole. A chord is never longer than its geodesic, and shorter by 1 mm at 10 km.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS

from geopointseg.raster.grid import transform_coordinates

if TYPE_CHECKING:
    import pyproj

Array = NDArray[np.float64]

TOLERATED_DISTORTION = 0.002
"""Share by which the plane of a CRS may distort lengths or areas and still be measured in."""

_EARTH_M = 6_378_137.0
_SAME_BODY = 0.005

_NEIGHBOURS = 4
"""Neighbours by chord among which the nearest by geodesic is sought."""

_WIDEST_ZONE_M = 1.5e6
"""Transverse Mercator coordinates farther than this from the central meridian are places made up for images."""


@dataclass(frozen=True)
class Datum:
    """What the coordinates of a CRS are tied to.

    Parameters
    ----------
    geodetic
        The CRS of longitude and latitude on its body; None for a CRS that is tied to no body.
    semi_major_m, semi_minor_m
        Axes of the ellipsoid in metres; 0 without a body.
    is_planetocentric
        Whether latitudes are angles at the middle of the body instead of angles to its surface.
    radians
        Radians in a unit of ``geodetic``.
    metres
        Metres in a unit of a CRS without degrees; 1 where the unit is unknown.
    unit
        Name of that unit.
    """

    geodetic: CRS | None
    semi_major_m: float
    semi_minor_m: float
    is_planetocentric: bool
    radians: float
    metres: float
    unit: str

    @property
    def is_planar(self) -> bool:
        """Whether there is no body, so that only the plane can be measured."""
        return self.geodetic is None

    @property
    def is_earth(self) -> bool:
        """Whether the ellipsoid is one of the earth's."""
        return abs(self.semi_major_m / _EARTH_M - 1) < _SAME_BODY

    def is_on_body_of(self, other: Datum) -> bool:
        """Whether two ellipsoids are of one body: PROJ's own tolerance of half a percent."""
        return abs(self.semi_major_m / other.semi_major_m - 1) < _SAME_BODY


@lru_cache(maxsize=256)
def is_angular(crs: CRS) -> bool:
    """Whether the coordinates of a CRS are angles; also planetocentric ones, which GDAL does not call geographic."""
    if crs.is_geographic or crs.is_projected:
        return bool(crs.is_geographic)
    import pyproj

    axes = pyproj.CRS.from_wkt(crs.to_wkt()).axis_info
    return len(axes) == 2 and all("itude" in axis.name for axis in axes)


@lru_cache(maxsize=256)
def datum_of(crs: CRS) -> Datum:
    """Return what a CRS is tied to.

    Examples
    --------
    >>> datum_of(CRS.from_epsg(2264)).unit
    'US survey foot'
    >>> datum_of(CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')).is_planar
    True
    """
    unit, metres = ("degree", 1.0) if is_angular(crs) else _linear_unit(crs)
    known = _body_crs(crs)
    if known is None or known.ellipsoid is None or not (is_angular(crs) or crs.is_projected):
        return _plane_of(metres, unit)
    geodetic = CRS.from_wkt(known.to_wkt())
    axes = known.ellipsoid.semi_major_metre, known.ellipsoid.semi_minor_metre
    centric = any("centric" in axis.name.casefold() for axis in known.axis_info)
    radians = known.axis_info[0].unit_conversion_factor
    return Datum(geodetic, *axes, centric, radians, metres, unit)


def _plane_of(metres: float, unit: str) -> Datum:
    """Return the datum of coordinates that are tied to no body."""
    return Datum(None, 0.0, 0.0, is_planetocentric=False, radians=0.0, metres=metres, unit=unit)


def _body_crs(crs: CRS) -> pyproj.CRS | None:
    """Return the CRS of longitude and latitude below a CRS, not rotated; None if there is none."""
    import pyproj

    known: pyproj.CRS | None = pyproj.CRS.from_wkt(crs.to_wkt())
    while known is not None and (known.is_bound or known.type_name.startswith("Derived Geog")):
        known = known.source_crs
    if known is None:
        return None
    horizontal = known.sub_crs_list[0] if known.is_compound else known
    below = horizontal.geodetic_crs
    if below is not None and below.type_name.startswith("Derived"):
        below = below.source_crs
    return below.to_2d() if below is not None and len(below.axis_info) == 3 else below


def _linear_unit(crs: CRS) -> tuple[str, float]:
    unit, factor = crs.units_factor
    return (unit, factor) if math.isfinite(factor) and factor > 0 else ("metre", 1.0)


def describe_tie(crs: CRS) -> str:
    """Return what a CRS is tied to, for messages: the earth, another body, or a site.

    Examples
    --------
    >>> describe_tie(CRS.from_epsg(4326))
    'the earth'
    """
    datum = datum_of(crs)
    if datum.geodetic is None:
        return "no body, as a site grid is"
    if datum.is_earth:
        return "the earth"
    return f"another body ({datum.geodetic.to_wkt().split('"')[1]})"


def datum_at(x: Array, crs: CRS) -> Datum:
    """Return what coordinates are measured by: the CRS's datum, or none for places made up in a UTM zone."""
    datum = datum_of(crs)
    if datum.is_planar or is_angular(crs) or not x.size:
        return datum
    middle = _central_easting(crs)
    if middle is None:
        return datum
    finite = x[np.isfinite(x)]
    if np.abs(finite - middle).max(initial=0.0) * datum.metres <= _WIDEST_ZONE_M:
        return datum
    return _plane_of(datum.metres, datum.unit)


@lru_cache(maxsize=256)
def _central_easting(crs: CRS) -> float | None:
    """Return the easting of a transverse Mercator's central meridian, None for other projections."""
    described = crs.to_dict()
    name = described.get("proj")
    if name == "utm":
        return 500_000.0 / _linear_unit(crs)[1]
    return float(described.get("x_0", 0.0)) / _linear_unit(crs)[1] if name == "tmerc" else None


def geodetic_coordinates(x: ArrayLike, y: ArrayLike, crs: CRS) -> tuple[Array, Array]:
    """Return longitude and latitude in degrees on the CRS's own ellipsoid; infinite where there is none.

    Parameters
    ----------
    x, y
        World coordinates in ``crs``, ``(point,)``.
    crs
        A CRS that is tied to a body.
    """
    datum = datum_of(crs)
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if datum.geodetic is None:
        return np.full(x.shape, np.inf), np.full(x.shape, np.inf)
    if crs != datum.geodetic and not counts_longitude(crs):
        x, y = transform_coordinates(x, y, crs, datum.geodetic)
    degrees = math.degrees(datum.radians)
    lon, lat = x * degrees, y * degrees
    if datum.is_planetocentric:
        stretch = (datum.semi_major_m / datum.semi_minor_m) ** 2
        lat = np.degrees(np.arctan(stretch * np.tan(np.radians(lat))))
    lost = ~(np.isfinite(lon) & (np.abs(lat) <= 90 + 1e-9))
    return np.where(lost, np.inf, lon), np.where(lost, np.inf, np.clip(lat, -90, 90))


@lru_cache(maxsize=256)
def counts_longitude(crs: CRS) -> bool:
    """Whether a CRS is geographic and its coordinates are longitude and latitude themselves, not rotated."""
    import pyproj

    known = pyproj.CRS.from_wkt(crs.to_wkt())
    derived = known.type_name.startswith("Derived")
    return bool(is_angular(crs) and not derived and not known.is_bound and not known.is_compound)


_CYLINDRICAL = {"merc", "webmerc", "eqc", "cea", "mill", "gall", "comill"}


@lru_cache(maxsize=256)
def turn_of(crs: CRS) -> float | None:
    """Return the difference in x once around the body, None where x does not go around; see `Grid.turn`."""
    datum = datum_of(crs)
    if datum.geodetic is None:
        return None
    if is_angular(crs):
        return 2 * math.pi / datum.radians
    described = crs.to_dict()
    if described.get("proj") not in _CYLINDRICAL:
        return None
    middle = float(described.get("lon_0", 0.0)) * math.radians(1) / datum.radians
    sides = [middle - 10, middle + 10]
    x, _ = transform_coordinates(sides, [0.0, 0.0], datum.geodetic, crs)
    turn = abs(float(x[1] - x[0])) * 2 * math.pi / (20 * datum.radians)
    return turn if math.isfinite(turn) and turn > 0 else None


def place_in_space(lon: Array, lat: Array, datum: Datum) -> Array:
    """Return Cartesian coordinates in metres around the middle of the body, float64 ``(..., 3)``."""
    with np.errstate(invalid="ignore"):
        phi, lam = np.radians(lat), np.radians(lon)
        a2, b2 = datum.semi_major_m**2, datum.semi_minor_m**2
        cos, sin = np.cos(phi), np.sin(phi)
        root = np.sqrt(a2 * cos**2 + b2 * sin**2)
        around = a2 / root * cos
        return np.stack([around * np.cos(lam), around * np.sin(lam), b2 / root * sin], axis=-1)


def measure_distance(
    x: ArrayLike, y: ArrayLike, other_x: ArrayLike, other_y: ArrayLike, crs: CRS
) -> Array:
    """Return the distances in metres between pairs of places.

    Geodesic on the CRS's ellipsoid; planar where the CRS is tied to no body.

    Parameters
    ----------
    x, y, other_x, other_y
        World coordinates in ``crs``, ``(pair,)``.
    crs
        Their coordinate reference system.

    Examples
    --------
    Two places at 68 degrees north, across the date line:

    >>> degrees = CRS.from_epsg(4326)
    >>> measure_distance([179.999], [68.0], [-179.999], [68.0], degrees).round(2).tolist()
    [83.66]
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
    """Places between which distances on the ground can be measured, made by `Positions.of`.

    Parameters
    ----------
    space_m
        Coordinates in metres, ``(place, 2)`` in a plane or ``(place, 3)`` around the middle of a body. Not finite where
        a place cannot be found.
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
        """Return the places of world coordinates in a CRS.

        Positions are comparable where they have one datum; give that of the first to the second.
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
            gap[known] = _geod(self.datum).inv(*ends[0], *ends[1])[2]
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
            _, index = cKDTree(self.space_m[here]).query(self.space_m[here], k=2)
            own = np.arange(len(here))
            neighbour = np.where(index[:, 1] == own, index[:, 0], index[:, 1])
            found[here] = self._distances(here, here[neighbour])
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


@lru_cache(maxsize=64)
def _geod(datum: Datum) -> pyproj.Geod:
    import pyproj

    return pyproj.Geod(a=datum.semi_major_m, b=datum.semi_minor_m)


def measure_scale(x: Array, y: Array, crs: CRS, step: float) -> tuple[Array, Array]:
    """Return the ground that one metre of a CRS's plane covers, least and most over the directions.

    The plane's metre is the unit of the CRS turned into metres; for degrees the unit itself.

    Parameters
    ----------
    x, y
        World coordinates, ``(place,)``.
    crs
        Their coordinate reference system.
    step
        Half of the length, in units of the CRS, over which the scale is measured.

    Returns
    -------
    least, most
        Ground metres in a metre of the plane, ``(place,)``; NaN where the place cannot be found. Their product is the
        scale of areas.
    """
    datum = datum_at(x, crs)
    if datum.is_planar:
        return np.ones(x.shape), np.ones(x.shape)
    across = _difference(x, y, (step, 0.0), crs, datum)
    up = _difference(x, y, (0.0, step), crs, datum)
    unit = 2 * step * datum.metres
    e, f, g = (
        (p * q).sum(axis=-1) / unit**2 for p, q in ((across, across), (across, up), (up, up))
    )
    half, spread = (e + g) / 2, np.hypot((e - g) / 2, f)
    product = np.sqrt(np.maximum(e * g - f**2, 0.0))
    most = np.sqrt(half + spread)
    return product / most, most


def _difference(x: Array, y: Array, offset: tuple[float, float], crs: CRS, datum: Datum) -> Array:
    """Return the way in space from one side of places to the other, ``(place, 3)``."""
    sides = (
        place_in_space(*geodetic_coordinates(x + s * offset[0], y + s * offset[1], crs), datum)
        for s in (1, -1)
    )
    with np.errstate(invalid="ignore"):
        ahead, behind = sides
        return np.asarray(ahead - behind)


def is_true_to_scale(x: Array, y: Array, crs: CRS) -> bool:
    """Whether lengths in the plane of a CRS are those on the ground to 0.2 % at all of the places.

    True for a CRS that is tied to no body: its plane is all there is.
    """
    known = np.isfinite(x) & np.isfinite(y)
    if datum_at(x, crs).is_planar or not known.any():
        return True
    if is_angular(crs):
        return False
    least, most = measure_scale(x[known], y[known], crs, 100.0 / datum_of(crs).metres)
    gap = np.maximum(np.abs(least - 1), np.abs(most - 1))
    return bool(np.isfinite(gap).all() and gap.max() <= TOLERATED_DISTORTION)


def search_space(x: Array, y: Array, crs: CRS) -> Array:
    """Return coordinates in metres whose straight distances are never longer than distances on the ground.

    For smallest distances that are kept by comparing coordinates. Straight distances fall short of those on the ground by
    less than 0.2 % in a CRS that is true to scale, ``(place, 2)``, and by 1 mm at 10 km elsewhere, ``(place, 3)``.
    """
    datum = datum_at(x, crs)
    if datum.is_planar or not is_true_to_scale(x, y, crs):
        return Positions.of(x, y, crs).space_m
    least, _ = measure_scale(x, y, crs, 100.0 / datum.metres)
    return np.column_stack([x, y]) * (datum.metres * min(1.0, float(np.nanmin(least, initial=1.0))))


def plane_around(x: Array, y: Array, crs: CRS) -> Array:
    """Return coordinates in metres on a plane, ``(place, 2)``.

    The plane of the CRS where it is true to scale, otherwise an azimuthal equidistant one around the middle of the places.
    Right for axes and directions; measure distances with `Positions`.
    """
    datum = datum_at(x, crs)
    if is_true_to_scale(x, y, crs):
        return np.column_stack([x, y]) * datum.metres
    from pyproj import Proj

    lon, lat = geodetic_coordinates(x, y, crs)
    space = place_in_space(lon, lat, datum)
    known = np.isfinite(space).all(axis=1)
    plane = np.full((len(x), 2), np.inf)
    if known.any():
        middle = np.median(space[known], axis=0)
        lon_0 = math.degrees(math.atan2(middle[1], middle[0]))
        lat_0 = math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1])))
        around = Proj(
            proj="aeqd",
            lon_0=lon_0,
            lat_0=lat_0,
            a=datum.semi_major_m,
            b=datum.semi_minor_m,
            units="m",
        )
        plane[known] = np.column_stack(around(lon[known], lat[known]))
    return plane


def ground_cells(x: Array, y: Array, crs: CRS, side_m: float) -> NDArray[np.int64]:
    """Return the square of ground that each place lies in, int64 ``(place, 3)``: a part of the globe, row and column.

    In a CRS that is true to scale, squares lie at whole multiples of their side in its plane. Elsewhere they do not
    depend on the CRS: rows follow parallels, and each row is cut into a whole number of equal pieces, so that no piece is
    narrower at 180 degrees. Beyond 80 degrees, rows and columns are those of an equal-area plane around the pole.

    Sides are right to 0.2 % in the plane of a CRS, and elsewhere to 1 % up to 10 km.
    """
    datum = datum_at(x, crs)
    if is_true_to_scale(x, y, crs):
        cell = np.column_stack([np.zeros(len(x)), y, x]) * (datum.metres / side_m)
        return _whole(cell)
    lon, lat = geodetic_coordinates(x, y, crs)
    polar = np.abs(lat) >= _POLAR_LATITUDE
    return np.where(
        polar[:, None],
        _polar_cells(lon, lat, datum, side_m),
        _banded_cells(lon, lat, datum, side_m),
    )


_POLAR_LATITUDE = 80.0


def _whole(cell: Array) -> NDArray[np.int64]:
    lost = ~np.isfinite(cell)
    return np.where(
        lost, np.iinfo(np.int64).max, np.floor(np.where(lost, 0.0, cell)).astype(np.int64)
    )


def _banded_cells(lon: Array, lat: Array, datum: Datum, side_m: float) -> NDArray[np.int64]:
    geod = _geod(datum)
    zero = np.zeros(len(lat))
    known = np.isfinite(lat)
    height = np.where(known, geod.inv(zero, zero, zero, np.where(known, lat, 0.0))[2], np.inf)
    row = np.floor(np.copysign(height, lat) / side_m)
    middle = np.where(known, (row + 0.5) * side_m, 0.0)
    azimuth = np.where(middle >= 0, 0.0, 180.0)
    parallel = np.radians(geod.fwd(zero, zero, azimuth, np.abs(middle))[1])
    a2, b2 = datum.semi_major_m**2, datum.semi_minor_m**2
    radius = (
        a2 * np.cos(parallel) / np.sqrt(a2 * np.cos(parallel) ** 2 + b2 * np.sin(parallel) ** 2)
    )
    pieces = np.maximum(np.round(2 * np.pi * radius / side_m), 1.0)
    col = np.floor(np.mod(lon / 360.0, 1.0) * pieces)
    return _whole(np.column_stack([zero, row, col]))


def _polar_cells(lon: Array, lat: Array, datum: Datum, side_m: float) -> NDArray[np.int64]:
    from pyproj import Proj

    north = lat > 0
    cell = np.full((len(lat), 3), np.inf)
    for part, of, lat_0 in ((1.0, north, 90), (2.0, ~north, -90)):
        here = of & np.isfinite(lat)
        plane = Proj(proj="laea", lat_0=lat_0, lon_0=0, a=datum.semi_major_m, b=datum.semi_minor_m)
        x, y = plane(lon[here], lat[here])
        cell[here] = np.column_stack([np.full(len(x), part), y / side_m, x / side_m])
    return _whole(cell)
