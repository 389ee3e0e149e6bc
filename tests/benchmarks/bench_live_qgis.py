"""How long a click in QGIS takes until the map of the view is repainted, and how long a new view takes.

``python tests/benchmarks/bench_live_qgis.py [SCENE POINTS] [--clicks N] [--pictures DIR]`` opens the panel with a
canvas of 1024 x 704 pixels in a QGIS on an X server, switches Live on, and clicks the places of the points with the
mouse, each with its class. Without a scene it takes that of the demo. It prints one JSON object: seconds from a
click, or from a move of the map, to the first paint of a picture that knows it (``coarse``, where there is one), to the
worker's last answer (``answer``) and to the paint of that (``sharp``). With ``--pictures`` the window is saved after 2, 10 and 60 clicks and at the end.

The bars: click to sharp picture 0.4 s in the median and 1 s in 95 of 100.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
REPOSITORY = HERE.parents[2]
PICTURES_AFTER = (2, 10, 60)
VIEWS, ENOUGH = 16, 30


class Clock:
    """Knows when the picture of Live was painted first after a request, coarse and sharp."""

    def __init__(self) -> None:
        from qgis_plugin.live_picture import Picture
        from qgis_plugin.panel_live import Live

        self.times: dict[str, float] = {}
        self.arrived: list[str] = []
        take, paint = Live._take_view, Picture.paint

        def note_answer(live: Live, answer: dict, bounds: object) -> None:
            if answer.get("final"):
                self.times.setdefault("answer", time.perf_counter())
            take(live, answer, bounds)
            if answer["ok"] and answer["id"] == live.view_id:
                self.arrived.append("sharp" if answer["final"] else "coarse")

        def note_paint(picture: Picture, painter: object, *more: object) -> None:
            paint(picture, painter, *more)
            for kind in self.arrived:
                self.times.setdefault(kind, time.perf_counter())
            self.arrived.clear()

        Live._take_view, Picture.paint = note_answer, note_paint

    def time(self, desk, act) -> dict[str, float]:
        """Do something and return the seconds until the paints that follow it."""
        live = desk.panel.live
        desk.wait(lambda: not live.timer.isActive() and not live.worker.waiting, 60)
        self.times.clear()
        start = time.perf_counter()
        act()
        desk.wait(lambda: "sharp" in self.times, 60)
        return {kind: moment - start for kind, moment in self.times.items()}


def measure(scene: str, points: str, clicks: int, pictures: str) -> dict[str, object]:
    """Run inside of QGIS's Python: click, pan and zoom, and return what was measured."""
    sys.path.insert(0, str(REPOSITORY / "tests" / "qgis" / "inside"))
    import support
    from qgis.core import QgsRasterLayer, QgsVectorLayer
    from window import Desk

    support.set_interpreter(os.environ["GEOPOINTSEG_TEST_PYTHON"])
    clock = Clock()
    raster, known = QgsRasterLayer(scene, "scene"), QgsVectorLayer(points, "known", "ogr")
    known.loadDefaultStyle()
    layer = empty_like(known, raster.crs())
    desk = Desk(raster, layer)
    desk.canvas.setFixedSize(1024, 704)
    desk.panel.form.points.setLayer(layer)
    desk.look_at(raster)
    live, start = desk.panel.live, time.perf_counter()
    desk.press(live.switch)
    desk.wait(lambda: live.ground is not None, 300)
    found: dict[str, object] = {"ready_s": time.perf_counter() - start}
    clicked = click(desk, clock, order(clickable(known, raster.crs()))[:clicks], pictures)
    moved = move(desk, clock)
    if clicks >= ENOUGH:
        desk.wait(lambda: bool(live.accuracy.text()), 120)
    found["accuracy"] = live.accuracy.text()
    if pictures:
        desk.look_at(raster)
        live.mode.setCurrentIndex(1)
        desk.wait(lambda: not live.worker.waiting, 60)
        save(desk, Path(pictures, "where_sure.png"))
    for name, rows in (("first_map", clicked[1:2]), ("click", clicked[2:]), ("view", moved)):
        for kind in ("coarse", "answer", "sharp"):
            seconds = sorted(row[kind] for row in rows if kind in row)
            if seconds:
                found[f"{name}_{kind}_median_s"] = seconds[len(seconds) // 2]
                found[f"{name}_{kind}_p95_s"] = seconds[int(0.95 * (len(seconds) - 1))]
    desk.press(live.switch)
    return found


def order(places: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Return places in a random order that begins with two classes."""
    random.Random(0).shuffle(places)
    second = next(place for place in places if place[2] != places[0][2])
    return [places[0], second, *(place for place in places[1:] if place is not second)]


def click(
    desk, clock: Clock, places: list[tuple[float, float, str]], pictures: str
) -> list[dict[str, float]]:
    """Click each place with its class and return the times of each click."""
    from qgis.PyQt.QtTest import QTest
    from window import LEFT

    times = []
    for number, (x, y, value) in enumerate(places, 1):
        desk.pick_row(next(i for i, row in enumerate(desk.panel.rows) if value in row.values))
        spot, screen = desk.pixel(x, y), desk.canvas.viewport()
        times.append(
            clock.time(
                desk, lambda screen=screen, spot=spot: QTest.mouseClick(screen, LEFT, pos=spot)
            )
        )
        if number in PICTURES_AFTER and pictures:
            save(desk, Path(pictures, f"after_{number}_clicks.png"))
    return times


def move(desk, clock: Clock) -> list[dict[str, float]]:
    """Zoom and pan by a quarter of the view, and return the times of each move."""
    times = []
    for number in range(VIEWS):
        factor, side = (0.5, 0.8, 2.0, 1.25)[number % 4], 0.25 if number % 2 else -0.25
        times.append(clock.time(desk, lambda factor=factor: desk.canvas.zoomByFactor(factor)))
        center = desk.canvas.center()
        center.setX(center.x() + side * desk.canvas.extent().width())
        times.append(clock.time(desk, lambda center=center: desk.canvas.setCenter(center)))
        desk.canvas.refresh()
    return times


def clickable(known, crs) -> list[tuple[float, float, str]]:
    """Return places (in a CRS) and class values of the points of a layer."""
    from qgis.core import QgsCoordinateTransform, QgsProject

    from qgis_plugin.panel_points import find_class_field

    transform = QgsCoordinateTransform(known.crs(), crs, QgsProject.instance())
    field, found = find_class_field(known), []
    for feature in known.getFeatures():
        place = transform.transform(feature.geometry().asPoint())
        found.append((place.x(), place.y(), str(feature[field])))
    return found


def empty_like(known, crs):
    """Return an empty layer in memory with the class field and the style of a layer."""
    from qgis.core import QgsVectorLayer

    from qgis_plugin.panel_points import find_class_field

    field = find_class_field(known)
    kind = "integer" if known.fields().field(field).isNumeric() else "string"
    layer = QgsVectorLayer(f"Point?field={field}:{kind}", "clicked", "memory")
    layer.setCrs(crs)
    layer.setRenderer(known.renderer().clone())
    return layer


def save(desk, path: Path) -> None:
    """Save a picture of the window as a person sees it."""
    from qgis.PyQt.QtWidgets import QApplication

    desk.turn(100)
    desk.canvas.waitWhileRendering()
    desk.turn(100)
    path.parent.mkdir(parents=True, exist_ok=True)
    screen = QApplication.primaryScreen()
    screen.grabWindow(desk.interface.window.winId()).save(str(path))


def main() -> None:
    """Find QGIS's Python and an X server, run `measure` there, and print what it found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="*", metavar="SCENE POINTS")
    parser.add_argument("--clicks", type=int, default=60)
    parser.add_argument("--pictures", default="")
    parser.add_argument("--inside", action="store_true")
    options = parser.parse_args()
    if options.inside:
        found = measure(*options.data, options.clicks, options.pictures)
        print(json.dumps(found, indent=1), flush=True)
        os._exit(0)
    sys.path.insert(0, str(REPOSITORY))
    from tests.qgis.qgis_installation import find_qgis_python

    with tempfile.TemporaryDirectory() as folder:
        data = options.data
        if not data:
            subprocess.run([sys.executable, "-m", "geopointseg", "demo", "--data-only", folder], check=True, stdout=sys.stderr)  # fmt: skip
            data = [str(Path(folder, name)) for name in ("scene.tif", "points.gpkg")]
        home = Path(folder, "home", "run")
        home.mkdir(parents=True, mode=0o700)
        environment = os.environ | {
            "HOME": str(home.parent), "XDG_RUNTIME_DIR": str(home), "QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1",
            "GEOPOINTSEG_TEST_PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        more = ["--clicks", str(options.clicks), "--pictures", options.pictures and str(Path(options.pictures).absolute())]  # fmt: skip
        screen = [shutil.which("xvfb-run") or "xvfb-run", "-a", "-s", "-screen 0 1500x1000x24"]
        command = [
            *screen,
            find_qgis_python(),
            str(HERE),
            "--inside",
            *map(os.path.abspath, data),
            *more,
        ]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
