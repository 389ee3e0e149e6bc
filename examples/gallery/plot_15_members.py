"""
Forests and the linear model
============================

Three models from the same points: a random forest on single pixels, one on filters, and a linear model on frozen features. Classes that
differ by texture only need context.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.report.picture import picture_map

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=2)
write_scene(landscape, str(folder / "scene.tif"))
write_class_map(
    folder / "truth.tif", landscape.truth.astype(np.int32), landscape.grid, landscape.legend,
    valid=landscape.valid,
)  # fmt: skip
points = draw_points(landscape, per_class=30)

# %%
recipes = {
    "forest, single pixels": ("forest", "pixel"),
    "forest, filters": ("forest", "filters"),
    "linear, frozen features": ("linear", "filters"),
}
results = {}
for title, (kind, features) in recipes.items():
    settings = gps.Config().updated({"forest": {"features": features, "trees": 60}})
    model = gps.train(
        folder / "scene.tif", points, output=folder / title, model=kind, config=settings
    )
    path = folder / f"{title}.tif"
    gps.predict(model, folder / "scene.tif", path)
    results[title] = gps.assess(path, folder / "truth.tif").confusion
    print(f"{title}: mean F1 {results[title].mean('f1'):.3f}")

# %%
names = landscape.legend.names
fig, axes = plt.subplots(1, 4, figsize=(14, 3.2), layout="constrained")
for axis, title in zip(axes, [*recipes, "truth"], strict=True):
    axis.imshow(picture_map(ClassMap.open(folder / f"{title}.tif")))
    score = f"\nmean F1 {results[title].mean('f1'):.2f}" if title in results else ""
    axis.set_title(title + score)
    axis.set_axis_off()
