"""
Make two scenes alike
=====================

A scene of another date or camera has other values for the same ground. `match_raster` writes it with the distribution of a reference. The
second scene is the first one with other light and haze.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import geopointseg as gps
from geopointseg.landscape import write_scene
from geopointseg.radiometry.histogram_matching import match_raster
from geopointseg.report.radiometry_figures import draw_matching

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=1)
write_scene(landscape, str(folder / "reference.tif"))
gain = np.array([0.7, 0.8, 1.1, 1.3])[:, None, None]
other = (landscape.image * gain + 600).clip(1, 65_535).astype(landscape.image.dtype)
other[:, ~landscape.valid] = 0
write_scene(replace(landscape, image=other), str(folder / "other.tif"))

# %%
matching = match_raster(folder / "other.tif", folder / "reference.tif", folder / "matched.tif")
title, headings, rows = matching.tables()[0]
print(title, headings, *rows, sep="\n")

# %%
figure = draw_matching(matching)
