"""The area of applicability in a report, with the accuracy of test points inside and outside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.assessment.assessment_result import Assessment
from geopointseg.assessment.map_inventory import take_inventory
from geopointseg.errors import RasterError
from geopointseg.legend import Legend
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.grid import transform_coordinates
from geopointseg.raster.raster_access import open_dataset
from geopointseg.report.figures import draw_map
from geopointseg.report.section import Illustration, Section
from geopointseg.summary import described

INSIDE_LEGEND = Legend.from_names(
    ["within the area of applicability", "unlike the training points"],
    codes=[1, 2],
    colors=["#a6dba0", "#c51b7d"],
)
THRESHOLD_TAG = "threshold"


@described
@dataclass(frozen=True)
class ApplicabilityMap:
    """A finished map of applicability.

    Parameters
    ----------
    dissimilarity, mask
        The files.
    threshold
        Largest dissimilarity inside the area of applicability.
    share_inside
        Share of the valid pixels that lie inside the area of applicability.
    """

    dissimilarity: Path
    mask: Path
    threshold: float
    share_inside: float

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ApplicabilityMap:
        """Open a map of applicability.

        Parameters
        ----------
        path
            The dissimilarity index; its mask lies beside it.

        Raises
        ------
        InputFileError
            If one of the two files is missing.
        RasterError
            If it is another kind of raster.
        """
        path = Path(path)
        with open_dataset(os.fspath(path)) as dataset:
            threshold = dataset.tags().get(THRESHOLD_TAG)
        if threshold is None:
            raise RasterError(
                f"'{path}' is not a map of applicability: it names no threshold. Expected the file that "
                "`map_applicability` wrote (not its mask); give that one."
            )
        nowhere = np.zeros(0, dtype=np.int64)
        pixels = take_inventory(ClassMap.open(mask_path(path)), nowhere, nowhere).pixels
        share = float(pixels[0] / max(pixels.sum(), 1))
        return cls(path, mask_path(path), float(threshold), share)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "dissimilarity": str(self.dissimilarity),
            "mask": str(self.mask),
            "threshold": self.threshold,
            "share_inside": self.share_inside,
        }

    def sentences(self) -> list[str]:
        """Return the result as sentences."""
        return [
            (
                f"{100 * self.share_inside:.1f} % of the scene is similar to the training points. The "
                "accuracy of the model does not apply to the rest; new points there improve it most."
            )
        ]


def mask_path(dissimilarity: Path) -> Path:
    """Return the path of the mask of a dissimilarity index."""
    return dissimilarity.with_name(f"{dissimilarity.stem}_mask.tif")


def applicability_section(found: ApplicabilityMap, assessment: Assessment | None = None) -> Section:
    """Return the section of a report on the area of applicability.

    Parameters
    ----------
    found
        The map of applicability.
    assessment
        Assessment of the map of the model; its test points are counted inside and outside.
    """
    sentences = found.sentences()
    picture = Illustration(
        "applicability",
        draw_map(ClassMap.open(found.mask)),
        f"Map of the area of applicability. {sentences[0]}",
        f"Dissimilarity above {found.threshold:.2f} is outside the area of applicability (Meyer & Pebesma 2021).",
        is_picture=True,
        legend=INSIDE_LEGEND,
    )
    if assessment is not None and assessment.pixels is not None:
        sentences += _compare_inside_with_outside(found, assessment)
    return Section("Area of applicability", sentences, illustrations=[picture])


def _compare_inside_with_outside(found: ApplicabilityMap, assessment: Assessment) -> list[str]:
    where = _look_up(found, assessment)
    if assessment.pixels is None or not (where >= 0).any():
        return []
    right = assessment.pixels.mapped == assessment.pixels.reference
    parts = []
    for code, place in ((0, "inside"), (1, "outside")):
        own = where == code
        share = f", {100 * right[own].mean():.1f} % of them mapped right" if own.any() else ""
        parts.append(f"{int(own.sum()):,} lie {place}{share}")
    return [f"Of the test points {' and '.join(parts)}."]


def _look_up(found: ApplicabilityMap, assessment: Assessment) -> NDArray[np.int64]:
    """Return 0 for test points inside, 1 outside, -1 where it is not known."""
    mask, grid = ClassMap.open(found.mask), ClassMap.open(assessment.map_path).grid
    pixels = assessment.pixels
    if pixels is None:
        return np.zeros(0, dtype=np.int64)
    world = grid.pixel_to_world(pixels.row + 0.5, pixels.col + 0.5)
    place = mask.grid.world_to_pixel(*transform_coordinates(*world, grid.crs, mask.grid.crs))
    row, col = (np.floor(v).astype(np.int64) for v in place)
    inside = (row >= 0) & (row < mask.grid.height) & (col >= 0) & (col < mask.grid.width)
    where = np.full(len(row), -1, dtype=np.int64)
    where[inside] = take_inventory(mask, row[inside], col[inside]).sampled
    return where
