"""
Points become a sparse mask
===========================

Points in any coordinate reference system become labelled pixels on the grid of the scene. All other pixels are unlabelled, which is neither
a class nor nodata.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.report.picture import picture_scene

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(160, 240, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
scene = gps.Scene.open(folder / "scene.tif")
points = draw_points(landscape, per_class=12)
print(points.crs, "->", scene.grid.crs)

# %%
mask = gps.rasterize_points(points, scene.grid)
for name, count in zip(mask.legend.names, mask.counts(), strict=True):
    print(f"{name:10} {count:3} labelled pixels")

# %%
labels, weight = mask.window(scene.grid.window)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
axes[0].imshow(picture_scene(scene))
axes[0].set_title("scene")
shown = plt.matplotlib.colors.ListedColormap(["#eeeeee", *[e.color for e in mask.legend.entries]])
axes[1].imshow(
    labels + 1, cmap=shown, vmin=-0.5, vmax=len(mask.legend) + 0.5, interpolation="nearest"
)
axes[1].set_title("sparse mask: grey pixels are unlabelled")
for axis in axes:
    axis.set_axis_off()
