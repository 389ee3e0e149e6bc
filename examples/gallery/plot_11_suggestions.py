"""
Where to click next
===================

`suggest` returns places of the classes with the fewest points, where the model is unsure, that are unlike the points it has, and that are not
near each other. The layer that it writes has an empty class field to fill in.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.raster.class_map import ClassMap
from geopointseg.report.picture import picture_map, picture_scene
from geopointseg.validation.suggestion import suggest

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
scene = gps.Scene.open(folder / "scene.tif")
points = draw_points(landscape, per_class=6, crs=scene.grid.crs)
model = gps.train(scene, points, output=folder / "model", model="linear")
gps.predict(model, scene, folder / "map.tif")

# %%
suggested = suggest(model, scene, 20, 15, folder / "next.gpkg", points=points)
print(suggested)

# %%
west, south, east, north = scene.grid.bounds
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
axes[0].imshow(picture_scene(scene), extent=(west, east, south, north))
axes[1].imshow(picture_map(ClassMap.open(folder / "map.tif")), extent=(west, east, south, north))
for axis in axes:
    axis.scatter(
        points.x, points.y, s=10, color="white", edgecolors="black", linewidths=0.5, label="points"
    )
    axis.scatter(
        suggested.x,
        suggested.y,
        s=60,
        marker="*",
        color="#ffe14d",
        edgecolors="black",
        label="suggested",
    )
    axis.set_axis_off()
axes[0].legend(loc="lower left", framealpha=0.9)
