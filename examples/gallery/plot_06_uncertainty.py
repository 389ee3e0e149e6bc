"""
Probabilities and uncertainty
=============================

One pass over the scene writes the map, the probability of each class, and the uncertainty: confidence, entropy and margin.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import rasterio

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.raster.class_map import ClassMap
from geopointseg.report.picture import picture_map

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
points = draw_points(landscape, per_class=30)
model = gps.train(folder / "scene.tif", points, output=folder / "model", model="linear")

# %%
gps.predict(
    model, folder / "scene.tif", folder / "map.tif",
    probabilities=folder / "probabilities.tif", uncertainty=folder / "uncertainty.tif",
)  # fmt: skip
with rasterio.open(folder / "uncertainty.tif") as dataset:
    names, planes = dataset.descriptions, dataset.read(masked=True)
print(names)

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
axes[0].imshow(picture_map(ClassMap.open(folder / "map.tif")))
axes[0].set_title("map")
for axis, name in zip(axes[1:], ("confidence", "entropy"), strict=True):
    drawn = axis.imshow(planes[names.index(name)], cmap="viridis")
    axis.set_title(name)
    fig.colorbar(drawn, ax=axis, shrink=0.8)
for axis in axes:
    axis.set_axis_off()
