"""
Area of applicability
=====================

A model cannot be trusted on ground that is unlike its training points. The dissimilarity index of Meyer and Pebesma (2021) measures that.
Here all points lie in the west, and a bright field in the east is unlike anything there.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import rasterio

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.report.picture import picture_scene
from geopointseg.validation.applicability import map_applicability

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=1)
image = landscape.image.copy()
image[:, 60:140, 210:280] = (image[:, 60:140, 210:280] * 2.5).clip(1, 10_000).astype(image.dtype)
landscape = replace(landscape, image=image)
write_scene(landscape, str(folder / "scene.tif"))
points = draw_points(landscape, per_class=30, columns=(0.0, 0.4))
model = gps.train(
    folder / "scene.tif", points, output=folder / "model", model="forest",
    config=gps.Config().updated({"forest": {"trees": 50}}),
)  # fmt: skip

# %%
found = map_applicability(model, folder / "scene.tif", folder / "index.tif", points=points)
print(found)

# %%
with rasterio.open(folder / "index.tif") as dataset:
    index = dataset.read(1, masked=True)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].imshow(picture_scene(gps.Scene.open(folder / "scene.tif")))
axes[0].axvline(0.4 * 320, color="white", linestyle="--")
axes[0].set_title("scene; points lie left of the line")
drawn = axes[1].imshow(index, cmap="magma", vmin=0, vmax=2 * found.threshold)
axes[1].contour(index.filled(0), levels=[found.threshold], colors="white", linewidths=0.8)
axes[1].set_title("dissimilarity index; outside the white line: not applicable")
fig.colorbar(drawn, ax=axes[1], shrink=0.8)
for axis in axes:
    axis.set_axis_off()
