"""Assess a map honestly: scores, areas with confidence intervals, and a report for any browser.

The map here is the truth with mistakes in it, so that the script takes no training. The test points are a simple
random sample, which is what makes areas and intervals hold.
"""

from pathlib import Path

import numpy as np

import geopointseg as gps
from geopointseg.labels.points import Points
from geopointseg.raster.class_map import write_class_map
from geopointseg.report.document import write_report


def main(folder: Path, count: int = 400) -> gps.Assessment:
    """Write map.tif and report.html into a folder and return the assessment."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    landscape = gps.make_landscape(320, 384, seed=1)
    mapped = landscape.truth.astype(np.int32)
    wrong = rng.random(mapped.shape) < 0.15
    mapped[wrong] = rng.integers(0, len(landscape.legend), int(wrong.sum()))
    write_class_map(
        folder / "map.tif", mapped, landscape.grid, landscape.legend, valid=landscape.valid
    )

    row, col = (v[:count] for v in rng.permutation(np.argwhere(landscape.valid)).T)
    x, y = landscape.grid.pixel_to_world(row + 0.5, col + 0.5)
    truth = landscape.truth[row, col].astype(np.int64)
    test = Points.from_arrays(x, y, truth, landscape.legend, landscape.grid.crs)

    assessed = gps.assess(folder / "map.tif", test, sampling="simple")
    print(assessed)
    write_report(assessed, folder / "report.html")
    return assessed


if __name__ == "__main__":
    main(Path("example_report"))
