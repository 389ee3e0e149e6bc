"""
More points, better map?
========================

The score on other ground by the number of points per class, for a small forest. Two draws of the points show the spread.
"""

import tempfile
from pathlib import Path

import numpy as np

import geopointseg as gps
from geopointseg.landscape import draw_points, write_scene
from geopointseg.raster.class_map import write_class_map
from geopointseg.report.figures import draw_learning_curve

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(160, 260, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
east = np.zeros(landscape.grid.shape, dtype=bool)
east[:, 170:] = True
write_class_map(
    folder / "east.tif", landscape.truth.astype(np.int32), landscape.grid, landscape.legend,
    valid=landscape.valid & east,
)  # fmt: skip

# %%
settings = gps.Config().updated({"forest": {"features": "filters", "trees": 20}})
counts, scores = (5, 20, 60), []
for count in counts:
    row = []
    for seed in range(2):
        points = draw_points(landscape, count, seed, columns=(0.0, 0.6))
        model = gps.train(
            folder / "scene.tif",
            points,
            output=folder / f"{count}_{seed}",
            model="forest",
            config=settings,
            seed=seed,
        )
        gps.predict(model, folder / "scene.tif", folder / "map.tif", cog=False)
        row.append(gps.assess(folder / "map.tif", folder / "east.tif").mean_f1)
    scores.append(row)
    print(f"{count:3} points per class: mean F1 {np.mean(row):.3f}")

# %%
figure = draw_learning_curve(counts, {"forest on filters": scores}, score="mean F1 in the east")
