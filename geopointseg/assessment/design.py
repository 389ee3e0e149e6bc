"""Sample design for an assessment: number and places of test points.

A stratified random sample gives every map class enough points for a useful interval, and large classes more. It is written
in random order and without the map's class, so that the map does not influence the labelling.

References
----------
Olofsson, P. et al. (2014). Good practices for estimating area and assessing accuracy of land change. Remote
Sensing of Environment 148, 42-57, section 3.1 and equation 13. https://doi.org/10.1016/j.rse.2014.02.015

Cochran, W. G. (1977). Sampling Techniques, 3rd ed., equation 5.25. Wiley.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio.crs import CRS

from geopointseg.assessment.map_inventory import read_row_ranges
from geopointseg.errors import PointsError, RasterError
from geopointseg.legend import Legend
from geopointseg.markup import parse_xml
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import crs_name
from geopointseg.raster.pixel_area import PixelAreas
from geopointseg.summary import count_classes, described

SAMPLE_LAYER = "sample"
CLASS_FIELD = "class"
EXPECTED_ACCURACY = 0.85
"""User's accuracy that is assumed before the assessment."""

_FAIR_SHARE = 0.5


@described
@dataclass(frozen=True, eq=False)
class SampleDesign:
    """Points to be labelled, in random order.

    Parameters
    ----------
    x, y
        Pixel centres in ``crs``, float64 ``(point,)``.
    stratum
        Map class of each point, int64 ``(point,)``; not written to the file.
    legend
        Classes of the map.
    crs
        CRS of the map.
    area_share
        Share of the map's area of each class, float64 ``(class,)``.
    expected_error
        Expected standard error of overall accuracy, if user's accuracies are 0.85.
    source
        Path of the map.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    stratum: NDArray[np.int64]
    legend: Legend
    crs: CRS
    area_share: NDArray[np.float64]
    expected_error: float
    source: str

    def _summary(self) -> list[str]:
        return [
            (
                f"SampleDesign: {len(self)} points on '{Path(self.source).name}', {crs_name(self.crs)}, expected standard "
                f"error {self.expected_error:.3f}"
            ),
            count_classes(self.legend.names, self.counts()),
        ]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows = self.legend.table_rows(self.area_share.tolist(), self.counts().tolist())
        return ["code", "class", "colour", "share of the map", "points"], rows

    def __len__(self) -> int:
        return len(self.x)

    def counts(self) -> NDArray[np.int64]:
        """Return the number of points of each map class, int64 ``(class,)``."""
        return np.bincount(self.stratum, minlength=len(self.legend)).astype(np.int64)

    def sentences(self) -> list[str]:
        """Return the expected precision, and how to use the sample."""
        return [
            (
                f"{len(self)} points, random within each map class, in random order. If about "
                f"{100 * EXPECTED_ACCURACY:.0f} % of the map is correct, the 95 % interval of overall accuracy will be plus "
                f"or minus {196 * self.expected_error:.1f} percentage points."
            ),
            (
                f"Fill in the field '{CLASS_FIELD}' of every point from better imagery or in the field, without looking at "
                "the map. Then assess the same map with `sampling='stratified'`."
            ),
        ]


def sample_size(area_share: ArrayLike, users_accuracy: ArrayLike, standard_error: float) -> int:
    """Return the number of points for a given standard error of overall accuracy.

    Parameters
    ----------
    area_share
        Share of the map's area of each class, ``(class,)``; sums to one.
    users_accuracy
        Expected user's accuracy of each class, ``(class,)``.
    standard_error
        Standard error of overall accuracy, for example 0.01.

    Returns
    -------
    int
        Number of points, for allocation in proportion to area.

    Examples
    --------
    The worked example of Olofsson et al. (2014), section 5.1:

    >>> sample_size([0.02, 0.015, 0.32, 0.645], [0.70, 0.60, 0.90, 0.95], 0.01)
    641
    """
    accuracy = np.asarray(users_accuracy, dtype=np.float64)
    spread = np.sqrt(accuracy * (1 - accuracy))
    return round((float(np.asarray(area_share) @ spread) / standard_error) ** 2)


def allocate_points(
    area_share: ArrayLike, count: int, minimum: int | None = None
) -> NDArray[np.int64]:
    """Allocate points to map classes: a minimum for each, the rest by area.

    Parameters
    ----------
    area_share
        Share of the map's area of each class, ``(class,)``; classes without area get no point.
    count
        Total number of points.
    minimum
        Smallest number of points per class; by default 50, or half an equal share where there are too few points.

    Returns
    -------
    ndarray
        int64 ``(class,)``, summing to ``count``.

    Raises
    ------
    PointsError
        If there are fewer than two points per class.

    Examples
    --------
    >>> allocate_points([0.02, 0.08, 0.9], 300)
    array([ 50,  50, 200])
    """
    share = np.asarray(area_share, dtype=np.float64)
    mapped = share > 0
    classes = int(mapped.sum())
    if count < 2 * classes:
        raise PointsError(
            f"{count} points cannot be shared out over {classes} map classes. Expected at least two for each class "
            f"({2 * classes}), better fifty ({50 * classes}); request more points."
        )
    floor = min(50, int(_FAIR_SHARE * count / classes)) if minimum is None else minimum
    floor = max(2, min(floor, count // classes))
    wanted = np.where(mapped, share * count, 0.0)
    rare = mapped & (wanted < floor)
    while True:
        rest = mapped & ~rare
        left = count - floor * int(rare.sum())
        wanted = np.where(
            rare, floor, np.where(rest, share * left / max(share[rest].sum(), 1e-300), 0)
        )
        more = rest & (wanted < floor)
        if not more.any():
            return _round_to_sum(wanted, count)
        rare |= more


def design_sample(
    map_path: str | os.PathLike[str] | ClassMap,
    count: int,
    *,
    minimum: int | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> SampleDesign:
    """Draw a stratified random sample from a map; its classes are the strata.

    Within a class every square metre has the same probability, also where the area of a pixel depends on its row. The map
    is read twice.

    Parameters
    ----------
    map_path
        The map to be assessed.
    count
        Total number of points; of a class with fewer pixels than its allocation, all pixels are drawn.
    minimum
        Smallest number of points per class; see `allocate_points`.
    seed
        Seed of the sample.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    SampleDesign
        The points in random order.

    Raises
    ------
    PointsError
        If there are fewer than two points per class.
    RasterError
        If the map has only nodata.
    """
    class_map = map_path if isinstance(map_path, ClassMap) else ClassMap.open(map_path)
    reporter = reporter or Reporter()
    by_row = _count_by_row(class_map, reporter)
    weight = by_row * PixelAreas.of(class_map.grid).by_row[:, None]
    if not weight.any():
        raise RasterError(
            f"The map '{class_map.path}' holds nothing but nodata. Expected class codes; give the map to be assessed."
        )
    share = weight.sum(axis=0) / weight.sum()
    rng = np.random.default_rng(seed)
    wanted = np.minimum(allocate_points(share, count, minimum), by_row.sum(axis=0))
    picked = [_pick_pixels(rng, weight[:, k], by_row[:, k], int(n)) for k, n in enumerate(wanted)]
    row, col, stratum = _find_columns(class_map, picked, reporter)
    order = rng.permutation(len(row))
    x, y = class_map.grid.pixel_to_world(row[order] + 0.5, col[order] + 0.5)
    return SampleDesign(
        x, y, stratum[order], class_map.legend, class_map.grid.crs, share, _expected_error(share, wanted),
        class_map.path,
    )  # fmt: skip


def write_sample(sample: SampleDesign, path: str | os.PathLike[str]) -> None:
    """Write a sample as a GeoPackage to be filled in: number, empty class, empty note, without the map's class.

    In QGIS the class is chosen from a list, and labelled points have the colour of their class.

    Parameters
    ----------
    sample
        The sample.
    path
        A ``.gpkg`` file; an earlier sample in it is replaced, unless points of it are labelled.

    Raises
    ------
    OutputError
        If the file cannot be written, or has labelled points or other layers.
    """
    import shapely

    from geopointseg.labels.layer import new_geopackage, write_layer
    from geopointseg.labels.layer_style import Category, Style, write_style

    empty = np.full(len(sample), None, dtype=object)
    fields = {
        "number": np.arange(1, len(sample) + 1), CLASS_FIELD: empty, "note": empty.copy(),
    }  # fmt: skip
    classes = Style.of_legend(CLASS_FIELD, sample.legend, by_name=True).categories
    style = Style(CLASS_FIELD, (*classes, Category("", "not labelled yet", "#e0003c")))
    with new_geopackage(Path(path), SAMPLE_LAYER, [sample.source], CLASS_FIELD) as partial:
        geometry = np.asarray(shapely.points(sample.x, sample.y))
        write_layer(partial, SAMPLE_LAYER, geometry, fields, sample.crs)
        write_style(partial, SAMPLE_LAYER, style)
        _offer_classes(partial, sample.legend.names)


def _offer_classes(path: Path, names: Sequence[str]) -> None:
    """Configure the class field as a list of values in QGIS."""
    with closing(sqlite3.connect(path)) as connection, connection:
        [(document,)] = connection.execute("SELECT styleQML FROM layer_styles").fetchall()
        head, _, rest = document.partition("<qgis")
        root = parse_xml("<qgis" + rest)
        configuration = ET.SubElement(root, "fieldConfiguration")
        field = ET.SubElement(configuration, "field", name=CLASS_FIELD)
        config = ET.SubElement(ET.SubElement(field, "editWidget", type="ValueMap"), "config")
        choices = ET.SubElement(
            ET.SubElement(config, "Option", type="Map"), "Option", type="List", name="map"
        )
        for name in names:
            choice = ET.SubElement(choices, "Option", type="Map")
            ET.SubElement(choice, "Option", type="QString", name=name, value=name)
        if "styleCategories" in root.attrib:
            root.set("styleCategories", "AllStyleCategories")
        text = head + ET.tostring(root, encoding="unicode")
        connection.execute("UPDATE layer_styles SET styleQML = ?", (text,))


def _round_to_sum(wanted: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round to integers with a given sum, the largest remainders up."""
    whole = np.floor(wanted).astype(np.int64)
    missing = total - int(whole.sum())
    for index in np.argsort(-(wanted - whole), kind="stable")[:missing]:
        whole[index] += 1
    return whole


def _expected_error(share: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    used = counts > 1
    variance = EXPECTED_ACCURACY * (1 - EXPECTED_ACCURACY)
    return math.sqrt(float((share[used] ** 2 * variance / (counts[used] - 1)).sum()))


def _count_by_row(class_map: ClassMap, reporter: Reporter) -> NDArray[np.int64]:
    """Count the pixels of each class in each row, ``(row, class)``."""
    counts = np.zeros((class_map.grid.height, len(class_map.legend)), dtype=np.int64)
    for window, values, mask in read_row_ranges(class_map, reporter):
        part = counts[window.row_off : window.row_off + window.height]
        for index, code in enumerate(class_map.legend.codes.tolist()):
            if code == class_map.nodata:
                continue
            found = values == code
            part[:, index] = np.count_nonzero(found if mask is None else found & mask, axis=1)
    return counts


def _pick_pixels(
    rng: np.random.Generator, weight: NDArray[np.float64], counts: NDArray[np.int64], wanted: int
) -> NDArray[np.int64]:
    """Draw distinct pixels of one class as row and position among the pixels of the class in that row, ``(pixel, 2)``."""
    if not wanted:
        return np.zeros((0, 2), dtype=np.int64)
    picked = np.zeros((0, 2), dtype=np.int64)
    total = int(counts.sum())
    if wanted > total // 2:
        rows = np.repeat(np.arange(len(counts)), counts)
        position = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = rng.choice(total, wanted, replace=False, p=(weight / np.maximum(counts, 1))[rows] / weight.sum())  # fmt: skip
        return np.column_stack([rows, position])[chosen]
    while len(picked) < wanted:
        row = rng.choice(len(counts), 2 * wanted, p=weight / weight.sum())
        drawn = np.column_stack([row, rng.integers(0, counts[row])])
        together = np.concatenate([picked, drawn])
        first = np.sort(np.unique(together, axis=0, return_index=True)[1])
        picked = together[first][:wanted]
    return picked


def _find_columns(
    class_map: ClassMap, picked: Sequence[NDArray[np.int64]], reporter: Reporter
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return row, column and class index of picked pixels, from positions among the pixels of a class in a row."""
    found: list[tuple[int, int, int]] = []
    codes = class_map.legend.codes.tolist()
    for window, values, mask in read_row_ranges(class_map, reporter):
        top, bottom = window.row_off, window.row_off + window.height
        for index, chosen in enumerate(picked):
            for row, position in chosen[(chosen[:, 0] >= top) & (chosen[:, 0] < bottom)].tolist():
                line = values[row - top] == codes[index]
                if mask is not None:
                    line &= mask[row - top]
                found.append((row, int(np.flatnonzero(line)[position]), index))
    row, col, stratum = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return row, col, stratum
