"""Numbered bands of satellites: which number is red, and which near infrared.

References
----------
Sentinel-2 MSI and Landsat TM, ETM+ and OLI band designations, as in the STAC electro-optical extension.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SENTINEL_2: dict[str, tuple[str, ...]] = {
    "coastal": ("b01", "b1"),
    "blue": ("b02", "b2"),
    "green": ("b03", "b3"),
    "red": ("b04", "b4"),
    "rededge": ("b05", "b5"),
    "nir": ("b08", "b8", "b8a"),
    "nir08": ("b8a",),
    "nir09": ("b09", "b9"),
    "cirrus": ("b10",),
    "swir16": ("b11",),
    "swir22": ("b12",),
}
_OLI: dict[str, tuple[str, ...]] = {
    "coastal": ("b1",),
    "blue": ("b2",),
    "green": ("b3",),
    "red": ("b4",),
    "nir": ("b5",),
    "swir16": ("b6",),
    "swir22": ("b7",),
    "cirrus": ("b9",),
}
_TM: dict[str, tuple[str, ...]] = {
    "blue": ("b1",),
    "green": ("b2",),
    "red": ("b3",),
    "nir": ("b4",),
    "swir16": ("b5",),
    "swir22": ("b7",),
}
_ONLY_SENTINEL_2 = {"b08", "b8a"}
_NUMBERED = re.compile(r"b\d{1,2}a?")
_LANDSAT = re.compile(r"l[cote]0?([4-9])(?=[_\d])", re.IGNORECASE)


def numbered_bands(name: str, bands: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the band names that a common name may have in a scene; none where the satellite is not known.

    Sentinel-2 is known by ``B08`` or ``B8A`` among the names of the bands, Landsat by the name of the scene.

    Parameters
    ----------
    name
        Name of the scene.
    bands
        Names of its bands, in lower case.

    Examples
    --------
    >>> numbered_bands("scene.tif", ["b02", "b04", "b08"])["red"], numbered_bands("LT05_L2SP_193024", ["b3", "b4"])["nir"]
    (('b04', 'b4'), ('b4',))
    >>> numbered_bands("scene.tif", ["b2", "b3", "b4"])
    {}
    """
    if _ONLY_SENTINEL_2.intersection(bands):
        return _SENTINEL_2
    found = _LANDSAT.match(name)
    if not found or not any(_NUMBERED.fullmatch(band) for band in bands):
        return {}
    return _OLI if int(found[1]) >= 8 else _TM
