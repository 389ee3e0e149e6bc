"""
From points to a map
====================

Some classes of this landscape have the same pixel values and differ by texture or shape only. Points lie in the west; both maps are
scored in the east, which no point touches. A linear model on frozen features of a pretrained backbone is compared with a random forest on
single pixels.
"""

import tempfile
from pathlib import Path

import numpy as np

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.report.figures import draw_overview

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(280, 420, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
points = draw_points(landscape, per_class=40, columns=(0.0, 0.58))

# %%
# The reference of the scores is the eastern part of the true map.
east = np.zeros(landscape.grid.shape, dtype=bool)
east[:, 270:] = True
write_class_map(
    folder / "truth.tif", landscape.truth.astype(np.int32), landscape.grid, landscape.legend,
    valid=landscape.valid,
)  # fmt: skip
write_class_map(
    folder / "east.tif", landscape.truth.astype(np.int32), landscape.grid, landscape.legend,
    valid=landscape.valid & east,
)  # fmt: skip

# %%
# Both models are trained by `train`, from the same points.
maps, scores = {}, {}
recipes = {
    "forest on single pixels": ("forest", {"features": "pixel", "trees": 100}),
    "linear": ("linear", {}),
}
for title, (kind, forest) in recipes.items():
    model = gps.train(
        folder / "scene.tif", points, output=folder / kind, model=kind,
        config=gps.Config().updated({"forest": forest}),
    )  # fmt: skip
    gps.predict(model, folder / "scene.tif", folder / f"{kind}.tif")
    maps[title] = ClassMap.open(folder / f"{kind}.tif")
    scores[title] = gps.assess(folder / f"{kind}.tif", folder / "east.tif").confusion
    print(f"{title}: mean F1 {scores[title].mean('f1'):.3f} in the east")

# %%
figure = draw_overview(
    gps.Scene.open(folder / "scene.tif"), points, maps, ClassMap.open(folder / "truth.tif"), scores
)
