"""Check of points against scenes, before a training.

The result lists problems by severity (an *error* stops a training), counts by class, and a reason for every questionable
point.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geopointseg.config import SamplingConfig
from geopointseg.errors import PointsError
from geopointseg.json_values import to_json_values
from geopointseg.labels.placement import place_points
from geopointseg.labels.point_evidence import ClassCheck, Evidence, gather_evidence
from geopointseg.labels.point_problems import Problem, find_problems
from geopointseg.labels.point_spread import Spread
from geopointseg.labels.points import Points, write_points
from geopointseg.name import printable
from geopointseg.progress import Reporter
from geopointseg.raster.grid import crs_name
from geopointseg.raster.scene import Scene, ScenePath
from geopointseg.setting import as_list
from geopointseg.summary import WIDTH, count_classes, described

QUESTIONABLE_LAYER = "questionable_points"


@described
@dataclass(frozen=True)
class PointsCheck:
    """The result of a check of points.

    Parameters
    ----------
    points
        The points that were checked.
    classes
        Counts by class, in legend order.
    problems
        What was found, errors first.
    reasons
        Why a point is questionable, text ``(point,)``; empty where it is not.
    spread
        Distances to the nearest neighbour of any class.
    facts
        Further facts for the JSON document.
    """

    points: Points
    classes: tuple[ClassCheck, ...]
    problems: tuple[Problem, ...]
    reasons: NDArray[np.str_]
    spread: Spread
    facts: dict[str, Any]

    def _summary(self) -> list[str]:
        usable = sum(row.usable for row in self.classes)
        found = [f"{problem.severity}: {problem.message}" for problem in self.problems]
        state = "usable" if self.usable else "not usable yet"
        return [
            f"PointsCheck: {usable} of {len(self.points)} points on the scenes; {state}, {len(found)} problems",
            count_classes([row.name for row in self.classes], [row.usable for row in self.classes]),
            *(textwrap.shorten(line, WIDTH) for line in found[:3]),
        ]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        return self.to_table()

    @property
    def usable(self) -> bool:
        """Whether training can start: no problem is an error."""
        return all(problem.severity != "error" for problem in self.problems)

    def raise_if_unusable(self) -> None:
        """Raise the first error, if there is one.

        Raises
        ------
        PointsError
            With the sentence of that problem.
        """
        for problem in self.problems:
            if problem.severity == "error":
                raise PointsError(problem.message)

    def to_table(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and one row per class, as text for a terminal."""
        headings = [
            "code", "class", "points", "usable", "outside", "nodata", "conflict", "repeated", "nearest m", "clustering",
        ]  # fmt: skip
        rows = [
            [
                str(row.code), printable(row.name), str(row.points), str(row.usable), str(row.outside), str(row.nodata),
                str(row.conflicts), str(row.duplicates), _number(row.spread.nearest_m), _number(row.spread.ratio),
            ]
            for row in self.classes
        ]  # fmt: skip
        return headings, rows

    def to_json(self) -> dict[str, Any]:
        """Return everything but the arrays, ready for JSON."""
        return {
            "points": len(self.points),
            "usable": self.usable,
            "usable_points": sum(row.usable for row in self.classes),
            "questionable_points": int((self.reasons != "").sum()),
            "problems": to_json_values(self.problems),
            "classes": to_json_values(self.classes),
            "spread": to_json_values(self.spread),
            **self.facts,
        }

    def __str__(self) -> str:
        headings, rows = self.to_table()
        widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
        lines = [
            "  ".join(
                cell.ljust(width) if i == 1 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in [headings, *rows]
        ]
        lines += [f"{problem.severity}: {problem.message}" for problem in self.problems]
        lines += ["The points are usable." if self.usable else "The points are not usable yet."]
        return "\n".join(lines)


def check_points(
    points: Points,
    scenes: Scene | ScenePath | Sequence[Scene | ScenePath],
    *,
    chip_size: int | None = None,
    reporter: Reporter | None = None,
) -> PointsCheck:
    """Check points against the scenes they shall be used on.

    Parameters
    ----------
    points
        The points.
    scenes
        The scenes, or paths of rasters, which are read as they are; see `open_scenes` for folders and settings.
    chip_size
        Side of a training chip in pixels, the distance within which points are near each other; by default that of
        training.
    reporter
        Receives progress; may cancel.

    Returns
    -------
    PointsCheck
        Unusable points raise no error here, but in `PointsCheck.raise_if_unusable`.

    Raises
    ------
    InputFileError, RasterError
        If a scene cannot be read.
    PointsError
        If there is no scene.
    """
    reporter = reporter or Reporter()
    opened = _open_scenes(scenes)
    chip_size = chip_size or SamplingConfig().on_device("cpu").chip_size
    placement = place_points(points, opened, chip_size, reporter)
    evidence = gather_evidence(points, opened, placement, chip_size)
    return PointsCheck(
        points=points,
        classes=evidence.classes,
        problems=find_problems(evidence),
        reasons=_reasons(evidence),
        spread=evidence.spread,
        facts=_facts(points, opened),
    )


def questionable_points(check: PointsCheck) -> tuple[Points, NDArray[np.str_]]:
    """Return the questionable points, and a reason for each, text ``(point,)``."""
    questionable = check.reasons != ""
    return check.points.select(questionable), check.reasons[questionable]


def write_questionable(check: PointsCheck, path: str | Path) -> None:
    """Write the questionable points to a GeoPackage, coloured by their reason in QGIS.

    The field ``source_fid`` holds the feature id in the file that the points were read from.

    Raises
    ------
    OutputError
        If the file cannot be written, is the one that the points were read from, or holds other layers.
    """
    points, reasons = questionable_points(check)
    extra: dict[str, ArrayLike] = {"reason": reasons, "source_fid": points.fid}
    write_points(points, path, extra=extra, layer=QUESTIONABLE_LAYER, styled_by="reason")


def _open_scenes(scenes: Scene | ScenePath | Sequence[Scene | ScenePath]) -> list[Scene]:
    several = as_list(scenes)
    if not several:
        raise PointsError(
            "No scene was given to check the points against. Expected one or more rasters; name them."
        )
    return [scene if isinstance(scene, Scene) else Scene.open(scene) for scene in several]


def _reasons(evidence: Evidence) -> NDArray[np.str_]:
    placement = evidence.placement
    by_reason = {
        "outside every scene": ~placement.inside,
        "on nodata": placement.inside & ~placement.valid,
        "another class in the same pixel": placement.conflict,
        "same class again in the same pixel": placement.duplicate,
        "held out, but within a chip of a training point": evidence.near_training,
    }
    return np.array(
        [
            "; ".join(reason for reason, flagged in by_reason.items() if flagged[position])
            for position in range(len(evidence.points))
        ],
        dtype=np.str_,
    )


def _facts(points: Points, scenes: Sequence[Scene]) -> dict[str, Any]:
    return {
        "source": points.source,
        "class_field": points.class_field,
        "crs": crs_name(points.crs),
        "dropped": dict(points.dropped),
        "scenes": [
            {"name": scene.name, "crs": crs_name(scene.grid.crs), "bounds": scene.grid.bounds}
            for scene in scenes
        ],
    }


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}"
