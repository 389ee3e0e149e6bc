"""
Accuracy and areas with confidence intervals
============================================

The pixels of a map are not its areas: a map that confuses classes has biased areas. From a probability sample both accuracy and true areas
are estimated, with intervals (Olofsson et al. 2014). The map is the truth with mistakes in it.
"""

import tempfile
from pathlib import Path

import numpy as np

import geopointseg as gps
from geopointseg.labels.points import Points
from geopointseg.raster.class_map import write_class_map
from geopointseg.report.figures import draw_areas, draw_confusion

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
landscape = gps.make_landscape(240, 320, seed=1)
mapped = landscape.truth.astype(np.int32)
wrong = rng.random(mapped.shape) < 0.2
mapped[wrong] = rng.integers(0, len(landscape.legend), int(wrong.sum()))
write_class_map(folder / "map.tif", mapped, landscape.grid, landscape.legend, valid=landscape.valid)

row, col = rng.permutation(np.argwhere(landscape.valid))[:400].T
x, y = landscape.grid.pixel_to_world(row + 0.5, col + 0.5)
truth = landscape.truth[row, col].astype(np.int64)
test = Points.from_arrays(x, y, truth, landscape.legend, landscape.grid.crs)
assessment = gps.assess(folder / "map.tif", test, sampling="simple")
print(assessment)

# %%
confusion = draw_confusion(assessment.confusion)

# %%
areas = draw_areas(assessment)
