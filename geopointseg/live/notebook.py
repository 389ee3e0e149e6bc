"""A live session in a notebook or a window, drawn by matplotlib.

matplotlib was chosen over ipyleaflet and leafmap. These show imagery as map tiles in Web Mercator, which needs a tile server in the kernel,
resamples the picture, and loads a web page's scripts. matplotlib draws pixels of the imagery as they are, also without a network. In a
notebook, ``%matplotlib widget`` (package ipympl, extra ``notebook``) makes the figure react to clicks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from geopointseg.config import Config
from geopointseg.errors import GeopointsegError, LegendError
from geopointseg.live.live_points import Identifier
from geopointseg.live.model_saving import save_model
from geopointseg.live.serving import open_session
from geopointseg.live.session import LiveSession
from geopointseg.live.view_pyramid import place_view
from geopointseg.model.bundle import ModelBundle
from geopointseg.raster.grid import Bounds
from geopointseg.setting import as_list

if TYPE_CHECKING:
    from matplotlib.backend_bases import Event, KeyEvent, MouseEvent
    from matplotlib.figure import Figure

VIEW_PX = (704, 1024)
_HELP = "Click: add a point. Right click: remove the nearest. 1-9: class. u: undo. m: hide or show the map. n: next question."


class LiveFigure:
    """A figure of imagery, points and the map that follows them.

    Parameters
    ----------
    rasters
        One raster or several, as for `open_session`.
    classes
        Names of the classes; keys 1 to 9 choose one.
    config
        Settings of the imagery.

    Attributes
    ----------
    session
        The session; its points can also be changed directly, then call `repaint`.
    figure
        The figure. The zoom and pan buttons of its toolbar work as usual.
    chosen
        Name of the class of the next click.
    """

    def __init__(
        self,
        rasters: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        classes: str | Sequence[str],
        config: Config | None = None,
    ) -> None:
        from matplotlib import pyplot as plt

        self.config = config or Config()
        names = [os.fspath(raster) for raster in as_list(rasters)]
        classes = as_list(classes)
        if not classes:
            raise LegendError(
                "The figure has no classes. Expected at least one name, for the clicks."
            )
        self.session: LiveSession = open_session(names, self.config, classes=classes)[0]
        self.chosen = classes[0]
        self._history: list[Identifier] = []
        self._hidden = False
        self._shown: tuple[float, ...] = ()
        self.figure: Figure
        self.figure, self._axes = plt.subplots(figsize=(10.24, 7.6), layout="constrained")
        west, south, east, north = self.session.scene.grid.bounds
        self._axes.set(xlim=(west, east), ylim=(south, north), aspect="equal", xlabel=_HELP)
        self._imagery: Any = None
        self._overlay: Any = None
        (self._marks,) = self._axes.plot([], [], "o", mfc="none", mec="white", ms=7)
        canvas = self.figure.canvas
        canvas.mpl_connect("button_press_event", self._on_click)
        canvas.mpl_connect("key_press_event", self._on_key)
        canvas.mpl_connect("button_release_event", self._on_release)
        self.repaint()

    @property
    def bounds(self) -> Bounds:
        """The visible extent: xmin, ymin, xmax, ymax."""
        (west, east), (south, north) = self._axes.get_xlim(), self._axes.get_ylim()
        return float(west), float(south), float(east), float(north)

    def add(self, x: float, y: float, name: str | None = None) -> None:
        """Add a point and repaint; what cannot be used is said in the title.

        Parameters
        ----------
        x, y
            World coordinates.
        name
            The class; by default the chosen one.
        """
        try:
            place = {"x": x, "y": y, "class": name or self.chosen}
            self._history.append(self.session.points.add(place))
            self.repaint()
        except GeopointsegError as error:
            self._say(str(error))

    def remove_nearest(self, x: float, y: float) -> None:
        """Remove the point nearest to a place, and repaint."""
        points = self.session.points.points
        if points:
            nearest = min(points, key=lambda p: (p.x - x) ** 2 + (p.y - y) ** 2)
            self.session.points.remove(nearest.identifier)
            self.repaint()

    def undo(self) -> None:
        """Remove the point that was added last, and repaint."""
        known = {point.identifier for point in self.session.points.points}
        while self._history:
            identifier = self._history.pop()
            if identifier in known:
                self.session.points.remove(identifier)
                break
        self.repaint()

    def ask(self) -> None:
        """Mark the next question in the title, and move there if it is not visible."""
        from geopointseg.live.question import Questions

        self._questions = getattr(self, "_questions", None) or Questions(self.session)
        try:
            place = self._questions.ask(self.bounds)
        except GeopointsegError as error:
            self._say(str(error))
            return
        self._marks.set_data(*self._positions([(place.x, place.y)]))
        self._say(f"{' or '.join(place.classes)}? At x {place.x:.1f}, y {place.y:.1f}")

    def save(self, folder: str | Path) -> ModelBundle:
        """Write the model folder of the points, for `predict`."""
        return save_model(self.session, Path(folder), self.config)

    def repaint(self) -> None:
        """Draw imagery, map and points of the visible extent."""
        bounds = self.bounds
        west, south, east, north = bounds
        extent = (west, east, south, north)
        if self._imagery is None or self._shown != bounds:
            self._replace("_imagery", self._picture_of_imagery(bounds), extent, 1.0)
        *_, picture = self.session.view(bounds, VIEW_PX[1], VIEW_PX[0], coarse=False)
        colors = np.zeros((256, 4))
        for position, entry in enumerate(self.session.points.legend.entries):
            colors[position] = [*(int(entry.color[k : k + 2], 16) / 255 for k in (1, 3, 5)), 1.0]
        self._replace("_overlay", colors[picture.classes], extent, 0.0 if self._hidden else 0.45)
        self._shown = bounds
        self._marks.set_data(*self._positions([(p.x, p.y) for p in self.session.points.points]))
        counts = self.session.points.counts()
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        self._say(f"{told}. Next click: {self.chosen}")

    def _positions(self, places: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
        return [x for x, _ in places], [y for _, y in places]

    def _replace(
        self, name: str, image: NDArray[Any], extent: tuple[float, ...], alpha: float
    ) -> None:
        old = getattr(self, name)
        if old is not None:
            old.remove()
        limits = self._axes.get_xlim(), self._axes.get_ylim()
        drawn = self._axes.imshow(
            image, extent=cast("Any", extent), alpha=alpha, interpolation="nearest", zorder=name == "_overlay"
        )  # fmt: skip
        self._axes.set(xlim=limits[0], ylim=limits[1])
        self._marks.set_zorder(3)
        setattr(self, name, drawn)

    def _picture_of_imagery(self, bounds: Bounds) -> NDArray[np.uint8]:
        """Return the colours that the feature extractor sees, uint8 ``(row, col, 3)``."""
        from rasterio.windows import Window

        scene = self.session.scene
        view = place_view(scene.grid, bounds, VIEW_PX[1], VIEW_PX[0])
        level = min(view.level, self.session.top_level)
        region = view.region(level)
        if region is None:
            return np.full((*VIEW_PX, 3), 255, np.uint8)
        rows, cols = region
        window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        rgb = scene.read(window, level).rgb
        bytes_ = (rgb * 60 + 118).clip(0, 254).astype(np.uint8)
        return np.stack([view.sample(plane, region, level) for plane in bytes_], axis=-1)

    def _say(self, text: str) -> None:
        self._axes.set_title(text, fontsize=9, wrap=True)
        self.figure.canvas.draw_idle()

    def _on_click(self, event: Event) -> None:
        click = cast("MouseEvent", event)
        toolbar = getattr(self.figure.canvas, "toolbar", None)
        is_moving = bool(getattr(toolbar, "mode", ""))
        if (
            is_moving
            or click.inaxes is not self._axes
            or click.xdata is None
            or click.ydata is None
        ):
            return
        if click.button == 3:
            self.remove_nearest(click.xdata, click.ydata)
        elif click.button == 1:
            self.add(click.xdata, click.ydata)

    def _on_release(self, _: Event) -> None:
        if self.bounds != self._shown:
            told = self._axes.get_title()
            self.repaint()
            self._say(told)

    def _on_key(self, event: Event) -> None:
        key = cast("KeyEvent", event).key or ""
        names = self.session.points.legend.names
        if key.isdigit() and 0 < int(key) <= len(names):
            self.chosen = names[int(key) - 1]
            self._say(f"Next click: {self.chosen}")
        elif key == "m":
            self._hidden = not self._hidden
            self.repaint()
        elif key in ("u", "n"):
            (self.undo if key == "u" else self.ask)()
