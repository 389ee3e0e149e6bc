"""Acquisition date of a scene, read from its tags or its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d{1,5}(?!\d))"
)
_DAY_OF_YEAR = re.compile(
    r"(?<!\d)(?:\d{6,7})?((?:19|20)\d\d)(00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])(?!\d)"
)
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
_TAGS = ("ACQUISITIONDATETIME", "ACQUISITION_DATE", "DATE_ACQUIRED", "SENSING_TIME", "datetime")


def find_date(name: str, tags: Mapping[str, str] | None = None) -> str:
    """Return the date of a scene as ``YYYY-MM-DD`` (or ``YYYY``), empty where none is found.

    Tags that name the time of acquisition come first, then a day in the file's name, Landsat's day of the year,
    and a year.

    Examples
    --------
    >>> find_date("m_4709963_se_14_1_20100629.tif"), find_date("LE70220491999322EDC01_stack.gtif")
    ('2010-06-29', '1999-11-18')
    >>> find_date("S2A_MSIL2A_20200831T101559_B04.jp2"), find_date("ortho-2018.tif"), find_date("scene_7.tif")
    ('2020-08-31', '2018', '')
    """
    for tag in _TAGS:
        told = (tags or {}).get(tag, "")
        if told:
            return next(_dates_in(told), "")
    return next(_dates_in(name), "")


def _dates_in(text: str) -> Iterator[str]:
    for found in _DAY.finditer(text):
        try:
            yield date(int(found[1]), int(found[3]), int(found[4])).isoformat()
        except ValueError:
            continue
    for found in _DAY_OF_YEAR.finditer(text):
        yield (date(int(found[1]), 1, 1) + timedelta(days=int(found[2]) - 1)).isoformat()
    for found in _YEAR.finditer(text):
        yield found[1]
