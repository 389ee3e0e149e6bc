"""
Check points before training
============================

`check_points` finds points outside the scene, on nodata, twice in one pixel with two classes, and classes with too few points. Here some
mistakes are made on purpose.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import geopointseg as gps
from geopointseg.labels.point_check import questionable_points
from geopointseg.labels.points import Points
from geopointseg.landscape import draw_points, write_scene
from geopointseg.report.picture import picture_scene

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(160, 240, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
scene = gps.Scene.open(folder / "scene.tif")
good = draw_points(landscape, per_class=15, crs=scene.grid.crs)

# %%
# Three points lie outside, and five pixels get a second point of another class.
west, south, east, north = scene.grid.bounds
x = np.concatenate([good.x, [west - 9, west - 9, east + 12], good.x[:5]])
y = np.concatenate([good.y, [south + 20, south + 60, south + 90], good.y[:5]])
classes = np.concatenate(
    [good.class_index, [0, 1, 2], (good.class_index[:5] + 1) % len(good.legend)]
)
points = Points.from_arrays(x, y, classes, good.legend, good.crs)
check = gps.check_points(points, scene)
print(check)

# %%
bad, reasons = questionable_points(check)
fig, axis = plt.subplots(figsize=(8, 5), layout="constrained")
axis.imshow(picture_scene(scene), extent=(west, east, south, north))
axis.scatter(
    good.x, good.y, s=12, color="white", edgecolors="black", linewidths=0.5, label="no problem"
)
for reason in np.unique(reasons):
    chosen = reasons == reason
    axis.scatter(bad.x[chosen], bad.y[chosen], s=60, marker="X", edgecolors="white", label=reason)
axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, frameon=False)
axis.set_axis_off()
