"""Numbered bands of satellites: which number is red, and which near infrared.

References
----------
Sentinel-2 MSI and Landsat TM, ETM+ and OLI band designations, as in the STAC electro-optical extension.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_Bands = dict[str, tuple[str, ...]]


def _by_number(names: str) -> _Bands:
    """Return the names of numbered bands by their common names, given in the order of the numbers; - for none."""
    numbered = enumerate(names.split(), start=1)
    return {name: (f"b{number:02}", f"b{number}") for number, name in numbered if name != "-"}


_SENTINEL_2: _Bands = {
    **_by_number("coastal blue green red rededge - - nir nir09 cirrus swir16 swir22"),
    "nir": ("b08", "b8", "b8a"),
    "nir08": ("b8a",),
}
_OLI = _by_number("coastal blue green red nir swir16 swir22 - cirrus")
_TM = _by_number("blue green red nir swir16 - swir22")
_ONLY_SENTINEL_2 = {"b08", "b8a"}
_NUMBERED = re.compile(r"b\d{1,2}a?")
_LANDSAT = re.compile(r"l[cote]0?([4-9])(?=[_\d])", re.IGNORECASE)


def numbered_bands(name: str, bands: Sequence[str]) -> _Bands:
    """Return the band names that a common name may have in a scene; none where the satellite is unknown.

    Sentinel-2 is recognized by ``B08`` or ``B8A`` among the names of the bands, Landsat by the name of the scene.

    Parameters
    ----------
    name
        Name of the scene.
    bands
        Names of its bands, in lower case.

    Examples
    --------
    >>> numbered_bands("scene.tif", ["b02", "b04", "b08"])["red"], numbered_bands("LT05_L2SP_193024", ["b3", "b4"])["nir"]
    (('b04', 'b4'), ('b04', 'b4'))
    >>> numbered_bands("scene.tif", ["b2", "b3", "b4"])
    {}
    """
    if _ONLY_SENTINEL_2.intersection(bands):
        return _SENTINEL_2
    found = _LANDSAT.match(name)
    if not found or not any(_NUMBERED.fullmatch(band) for band in bands):
        return {}
    return _OLI if int(found[1]) >= 8 else _TM
