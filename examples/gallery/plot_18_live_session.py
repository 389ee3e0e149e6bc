"""
Click, and the map follows
==========================

A live session repaints the map after every click. This script drives one without a window: a simulated user answers the questions of the
session and corrects what the map shows wrong. The same session serves the panel of the QGIS plugin and `LiveFigure` in a notebook.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import geopointseg as gps
from geopointseg.landscape import write_scene
from geopointseg.live.question import Questions
from geopointseg.live.serving import open_session
from geopointseg.report.picture import picture_scene

folder = Path(tempfile.mkdtemp())
landscape = gps.make_landscape(240, 320, seed=1)
write_scene(landscape, str(folder / "scene.tif"))
session, _ = open_session([str(folder / "scene.tif")], gps.Config())
grid, names = session.scene.grid, landscape.legend.names
height, width = grid.shape


def click(row: int, col: int) -> None:
    """Add the true class of a pixel."""
    x, y = grid.pixel_to_world(row + 0.5, col + 0.5)
    session.points.add({"x": float(x), "y": float(y), "class": names[landscape.truth[row, col]]})


def paint() -> np.ndarray:
    """Return the position of each pixel's class in the true legend, 255 where unknown."""
    *_, picture = session.view(grid.bounds, width, height, coarse=False)
    positions = [names.index(name) for name in picture.legend] + [255]
    return np.array(positions)[np.minimum(picture.classes, len(picture.legend))]


# %%
# One click in each of two classes makes a first map. Further clicks take turns: a place that the map shows wrong, and a question.
pictures = {}
for index in (0, 1):
    places = np.argwhere(landscape.valid & (landscape.truth == index))
    click(*places[len(places) // 2].tolist())
questions = Questions(session)
rng = np.random.default_rng(0)
while len(session.points) <= 60:
    shown = paint()
    count = len(session.points)
    if count in (2, 10, 60):
        right = (shown == landscape.truth)[landscape.valid].mean()
        print(f"{count} clicks: {right:.2f} of the pixels are right")
        clicked = np.array([(p.row, p.col) for p in session.points.points])
        pictures[f"{count} clicks: {right:.0%} right"] = shown, clicked
    if count % 2:
        asked = questions.ask()
        row, col = (int(v) for v in grid.world_to_pixel(asked.x, asked.y))
    else:
        wrong = np.argwhere(landscape.valid & (shown != landscape.truth))
        row, col = wrong[rng.integers(len(wrong))].tolist()
    click(row, col)
session.close()

# %%
# The question that comes next names the place and the classes that are in doubt.
print(asked)

# %%
colors = np.full((256, 3), 255)  # 255 stands for pixels without an image
for index, entry in enumerate(landscape.legend.entries):
    colors[index] = [int(entry.color[k : k + 2], 16) for k in (1, 3, 5)]
fig, axes = plt.subplots(2, 2, figsize=(10, 7.8), layout="constrained")
axes = axes.ravel()
axes[0].imshow(picture_scene(gps.Scene.open(folder / "scene.tif")))
axes[0].set_title("imagery")
for axis, (title, (shown, clicked)) in zip(axes[1:], pictures.items(), strict=True):
    axis.imshow(colors[shown])
    axis.scatter(clicked[:, 1], clicked[:, 0], s=18, facecolors="none", edgecolors="white")
    axis.set_title(title)
for axis in axes:
    axis.set_axis_off()
