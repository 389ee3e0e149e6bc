"""
Points become a sparse mask
===========================

Points in any coordinate reference system become labelled pixels on the grid of the scene. All other pixels are unlabelled, which is neither
a class nor nodata.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.report.picture import picture_scene

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(160, 240, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
scene = gps.Scene.open(folder / "scene.tif")
points = draw_points(landscape, per_class=40)
print(points.crs, "->", scene.grid.crs)

# %%
mask = gps.rasterize_points(points, scene.grid)
for name, count in zip(mask.legend.names, mask.counts(), strict=True):
    print(f"{name:10} {count:3} labelled pixels")

# %%
labels, weight = mask.window(scene.grid.window)
rows, cols = slice(40, 100), slice(60, 150)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].imshow(picture_scene(scene)[rows, cols])
axes[0].set_title("part of the scene, 60 x 90 pixels")
colors = ["#e6e6e6", *[entry.color for entry in mask.legend.entries]]
axes[1].imshow(
    labels[rows, cols] + 1, cmap=ListedColormap(colors), vmin=-0.5, vmax=len(colors) - 0.5
)
axes[1].set_title(f"sparse mask: grey is unlabelled, {(labels[rows, cols] >= 0).sum()} labels")
for axis in axes:
    axis.set_axis_off()
