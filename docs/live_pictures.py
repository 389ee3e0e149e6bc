"""Draw the animation and the pictures of a live session: `python docs/live_pictures.py`.

The training points of `examples/prairie` are clicked one after another, one of each class in turn. Each frame shows the points and the map that the
session made of them. The number of test points that the map agrees with is counted, not simulated.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import geopointseg as gps
from geopointseg.live.serving import open_session
from geopointseg.live.session import LiveSession

HERE = Path(__file__).parent
PRAIRIE = HERE.parent / "examples" / "prairie"
CLICKS = (0, 1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 45, 60)
STILLS = (2, 10, 60)
WIDTH, GAP, LINE, DOT = 700, 8, 24, 4
"""Width of a frame, gap between its two parts, height of a line of text and radius of a point, in pixels."""
GAMMA = 0.8
FIRST_MS, STEP_MS, LAST_MS = 1000, 900, 3000


def in_turns(points: gps.Points) -> NDArray[np.int64]:
    """Return the order in which points are clicked: one of each class in turn, each far from those of its class before."""
    turn = np.zeros(len(points), np.int64)
    places = np.stack([points.x, points.y], axis=1)
    for k in range(len(points.legend)):
        own = np.flatnonzero(points.class_index == k)
        nearest = -np.linalg.norm(places[own] - places[own].mean(axis=0), axis=1)
        for place in range(len(own)):
            chosen = int(nearest.argmax())
            turn[own[chosen]] = place
            distance = np.linalg.norm(places[own] - places[own[chosen]], axis=1)
            nearest = np.minimum(nearest, distance) if place else distance
    return np.lexsort((points.class_index, turn))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return red, green and blue, stretched from percentiles 1 to 99, uint8 ``(row, col, band)``."""
    with rasterio.open(path) as dataset:
        values = dataset.read((1, 2, 3)).astype(np.float32)
    low, high = np.percentile(values, (1, 99), axis=(1, 2), keepdims=True)
    return np.asarray(
        255 * np.clip((values - low) / (high - low), 0, 1) ** GAMMA, np.uint8
    ).transpose(1, 2, 0)


class Frames:
    """Draws a session: points on imagery at the left, the map at the right, classes below."""

    def __init__(self, session: LiveSession, points: gps.Points, test: gps.Points) -> None:
        self.session, self.points, self.test = session, points, test
        self.order = in_turns(points)
        self.picture = read_picture(PRAIRIE / "scene.tif")
        self.font = ImageFont.truetype(
            str(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), 14
        )
        self.colors = np.array(
            [
                [int(entry.color[k : k + 2], 16) for k in (1, 3, 5)]
                for entry in points.legend.entries
            ],
            np.uint8,
        )

    def click(self, clicks: int) -> None:
        """Add points up to a number of clicks."""
        for k in self.order[len(self.session.points) : clicks]:
            name = self.points.legend.names[self.points.class_index[k]]
            self.session.points.add(
                {"x": float(self.points.x[k]), "y": float(self.points.y[k]), "class": name}
            )

    def map(self) -> NDArray[np.uint8]:
        """Return the classes of the session's map, 255 where there is none."""
        height, width = self.session.scene.grid.shape
        *_, picture = self.session.view(self.session.scene.grid.bounds, width, height, coarse=False)
        return picture.classes

    def pixels(self, points: gps.Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return columns and rows of points."""
        col, row = ~self.session.scene.grid.transform @ np.stack([points.x, points.y])
        return np.asarray(col), np.asarray(row)

    def right(self, classes: NDArray[np.uint8]) -> int:
        """Return the number of test points whose class the map has."""
        col, row = (values.astype(int) for values in self.pixels(self.test))
        return int((classes[row, col] == self.test.class_index).sum())

    def draw(self, clicks: int) -> Image.Image:
        """Return the frame of a number of clicks."""
        self.click(clicks)
        classes = self.map()
        side = (WIDTH - GAP) // 2
        scale = side / classes.shape[1]
        height = round(classes.shape[0] * scale)
        known = classes != 255
        shown = np.where(known[..., None], self.colors[np.where(known, classes, 0)], 235).astype(
            np.uint8
        )
        frame = Image.new("RGB", (WIDTH, height + 2 * LINE + 4), "white")
        frame.paste(
            Image.fromarray(self.picture).resize((side, height), Image.Resampling.LANCZOS),
            (0, LINE),
        )
        frame.paste(
            Image.fromarray(shown).resize((side, height), Image.Resampling.NEAREST),
            (side + GAP, LINE),
        )
        pen = ImageDraw.Draw(frame)
        pen.text((2, 3), f"{clicks} click{'s' * (clicks != 1)}", "black", self.font)
        told = (
            f"map: {self.right(classes)} of {len(self.test)} test points right"
            if known.any()
            else "no map yet"
        )
        pen.text((side + GAP + 2, 3), told, "black", self.font)
        self.draw_points(pen, scale, clicks, side + GAP)
        self.draw_legend(pen, height + LINE + 6)
        return frame

    def draw_points(self, pen: Any, scale: float, clicks: int, right: int) -> None:
        """Draw the clicked points on both parts; the newest one is larger."""
        col, row = self.pixels(self.points)
        for place, k in enumerate(self.order[:clicks], start=1):
            radius = DOT + 3 * (place == clicks)
            x, y = scale * col[k], LINE + scale * row[k]
            for left in (0, right):
                box = (left + x - radius, y - radius, left + x + radius, y + radius)
                pen.ellipse(box, tuple(self.colors[self.points.class_index[k]]), "white", 2)

    def draw_legend(self, pen: Any, top: float) -> None:
        """Draw names and colours of the classes in a line."""
        left = 2.0
        for color, name in zip(self.colors, self.points.legend.names, strict=True):
            pen.rectangle((left, top + 1, left + 14, top + 15), tuple(color))
            pen.text((left + 20, top), name, "black", self.font)
            left += 36 + pen.textlength(name, self.font)


def main(folder: Path) -> None:
    """Write ``live.webp`` and a still for each of `STILLS`."""
    points = gps.read_points(PRAIRIE / "points.gpkg", class_field="cover")
    session = open_session([str(PRAIRIE / "scene.tif")], gps.Config(), classes=points.legend.names)[
        0
    ]
    frames = Frames(
        session, points.select(points.split == "train"), points.select(points.split == "test")
    )
    drawn = {clicks: frames.draw(clicks) for clicks in CLICKS}
    session.close()
    first, *others = drawn.values()
    times = [FIRST_MS, *[STEP_MS] * (len(others) - 1), LAST_MS]
    first.save(
        folder / "live.webp",
        save_all=True,
        append_images=others,
        duration=times,
        loop=0,
        quality=70,
        method=6,
    )
    for clicks in STILLS:
        drawn[clicks].save(folder / f"live_{clicks}.webp", quality=85, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "_static")
