"""
Design a test sample
====================

How many test points does a map need, and where? The sample size follows from the accuracy that is expected and the standard error that is
wanted (Cochran 1977); points are drawn at random within each map class, with a minimum for rare classes.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import geopointseg as gps
from geopointseg.assessment.design import allocate_points, design_sample, sample_size
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.report.picture import picture_map

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=1)
write_class_map(
    folder / "map.tif", landscape.truth.astype(np.int32), landscape.grid, landscape.legend,
    valid=landscape.valid,
)  # fmt: skip
share = np.bincount(landscape.truth[landscape.valid], minlength=len(landscape.legend))
share = share / share.sum()

# %%
# With a user's accuracy of 0.8 in every class and a standard error of 0.025 of the overall accuracy:
count = sample_size(share, np.full(len(share), 0.8), 0.025)
print(
    count,
    "points:",
    dict(zip(landscape.legend.names, allocate_points(share, count).tolist(), strict=True)),
)

# %%
sample = design_sample(folder / "map.tif", count, seed=0)
west, south, east, north = landscape.grid.bounds
fig, axis = plt.subplots(figsize=(8, 5.4), layout="constrained")
axis.imshow(
    picture_map(ClassMap.open(folder / "map.tif")), extent=(west, east, south, north), alpha=0.75
)
axis.scatter(sample.x, sample.y, s=14, color="white", edgecolors="black", linewidths=0.6)
axis.set_title(f"stratified random sample of {len(sample.x)} points")
axis.set_axis_off()
