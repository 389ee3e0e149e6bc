"""
A real scene: prairie lakes
===========================

The project's ``examples/prairie`` holds 5 m imagery (NAIP, public domain), 120 points placed by eye, and a simple random sample of 60 test
points. The result is an overall accuracy with a confidence interval.
"""

import tempfile
from pathlib import Path

import geopointseg as gps
from geopointseg.raster.class_map import ClassMap
from geopointseg.report.figures import draw_overview

folder = Path(tempfile.mkdtemp())
prairie = Path("../prairie")
points = gps.read_points(prairie / "points.gpkg", class_field="cover")
print(gps.check_points(points, prairie / "scene.tif"))

# %%
# Points whose field ``split`` says "test" are left out of the training and are the only ones that `assess` uses.
model = gps.train(prairie / "scene.tif", points, output=folder / "model", model="linear")
gps.predict(model, prairie / "scene.tif", folder / "map.tif")
assessment = gps.assess(folder / "map.tif", points, sampling="simple")
overall = assessment.estimates.overall
print(
    f"overall accuracy {overall.value:.2f}, 95 % interval {overall.low:.2f} to {overall.high:.2f}"
)

# %%
training = points.select(points.split == "train")
figure = draw_overview(
    gps.Scene.open(prairie / "scene.tif"),
    training,
    {"linear": ClassMap.open(folder / "map.tif")},
    None,
    {},
)
