"""The datum of a CRS: the ellipsoid of the earth or of another body, or none.

Site grids and other engineering CRSs have no ellipsoid. Their coordinates are planar, in the CRS's own unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geopointseg.raster.crs import own_name

if TYPE_CHECKING:
    import pyproj

Array = NDArray[np.float64]

_EARTH_M = 6_378_137.0
_SAME_BODY = 0.005

_WIDEST_ZONE_M = 1.5e6
"""Transverse Mercator coordinates farther than this from the central meridian are taken as arbitrary, not as places."""


@dataclass(frozen=True)
class Datum:
    """The ellipsoid that the coordinates of a CRS refer to, and their units.

    Parameters
    ----------
    geodetic
        The CRS of longitude and latitude on its body; None for a CRS without an ellipsoid.
    semi_major_m, semi_minor_m
        Axes of the ellipsoid in metres; 0 without a body.
    is_planetocentric
        Whether latitudes are planetocentric (angles at the centre of the body) instead of planetographic.
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
        """Whether there is no ellipsoid, so that only planar distances can be measured."""
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
    """Return the datum of a CRS.

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
    """Return the datum of planar coordinates without an ellipsoid."""
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


def describe_reference_body(crs: CRS) -> str:
    """Return what the coordinates of a CRS refer to, for messages: the earth, another body, or a site.

    Examples
    --------
    >>> describe_reference_body(CRS.from_epsg(4326))
    'the earth'
    """
    datum = datum_of(crs)
    if datum.geodetic is None:
        return "no body, as a site grid is"
    if datum.is_earth:
        return "the earth"
    return f"another body ({own_name(datum.geodetic)})"


def datum_at(x: Array, crs: CRS) -> Datum:
    """Return the datum to measure coordinates on: that of the CRS, or none for arbitrary coordinates in a UTM zone."""
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


@lru_cache(maxsize=256)
def counts_longitude(crs: CRS) -> bool:
    """Whether a CRS is geographic and its coordinates are longitude and latitude themselves, not rotated."""
    import pyproj

    known = pyproj.CRS.from_wkt(crs.to_wkt())
    derived = known.type_name.startswith("Derived")
    return bool(is_angular(crs) and not derived and not known.is_bound and not known.is_compound)


def place_in_space(lon: Array, lat: Array, datum: Datum) -> Array:
    """Return geocentric Cartesian coordinates of places on an ellipsoid.

    Parameters
    ----------
    lon, lat
        Longitude and latitude in degrees, of one shape.
    datum
        The body.

    Returns
    -------
    numpy.ndarray
        Geocentric coordinates in metres, float64 ``(..., 3)``.
    """
    with np.errstate(invalid="ignore"):
        phi, lam = np.radians(lat), np.radians(lon)
        a2, b2 = datum.semi_major_m**2, datum.semi_minor_m**2
        cos, sin = np.cos(phi), np.sin(phi)
        root = np.sqrt(a2 * cos**2 + b2 * sin**2)
        around = a2 / root * cos
        return np.stack([around * np.cos(lam), around * np.sin(lam), b2 / root * sin], axis=-1)


@lru_cache(maxsize=64)
def geod_of(datum: Datum) -> pyproj.Geod:
    """Return pyproj's geodesics on the ellipsoid of a datum."""
    import pyproj

    return pyproj.Geod(a=datum.semi_major_m, b=datum.semi_minor_m)
