"""What stops a training is told by the check, in the same words, and before imagery is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopointseg.config import Config
from geopointseg.errors import GeopointsegError
from geopointseg.labels.point_check import check_points
from geopointseg.labels.points import Points
from geopointseg.learning import preparation
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.progress import Reporter

LEGEND = Legend.from_names(["water", "field"], codes=[1, 2])
UTM = CRS.from_epsg(32633)
SITE = CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]')
MARS = CRS.from_user_input("IAU_2015:49910")


def _scene(folder: Path, crs: CRS, name: str = "scene.tif") -> Path:
    """Write 40 x 40 pixels of 10 m; the first 10 columns are nodata."""
    image = np.random.default_rng(0).integers(1, 255, (3, 40, 40)).astype("uint8")
    image[:, :, :10] = 0
    transform = Affine(10, 0, 500000, 0, -10, 5700000)
    with rasterio.open(
        folder / name, "w", driver="GTiff", count=3, height=40, width=40, dtype="uint8", crs=crs, transform=transform,
        nodata=0,
    ) as dataset:  # fmt: skip
        dataset.write(image)
    return folder / name


def _points(crs: CRS = UTM, cols: range = range(12, 32), **changes: object) -> Points:
    col = np.array(cols)
    points = Points.from_arrays(
        500005.0 + 10 * col, 5699800.0 + 0 * col, np.arange(len(col)) % 2, LEGEND, crs
    )
    return replace(points, **changes)


def _on_nodata() -> Points:
    """Points for training on nodata, points for testing on the image."""
    points = _points(cols=range(4, 16))
    return points.with_split(np.where(points.x < 500100, "train", "test"))


N = 20
TROUBLE: dict[str, tuple[CRS, Callable[[], Points], str]] = {
    "points of the earth on a site grid": (
        SITE, lambda: _points().to_crs(CRS.from_epsg(4326)),
        "The points are in EPSG:4326 'WGS 84', tied to the earth, and 'scene.tif' is in 'site grid', tied to no body,",
    ),
    "points of a site grid on the earth": (UTM, lambda: _points(SITE), "'site grid', tied to no body"),
    "points of the earth on Mars": (MARS, _points, "tied to another body (Mars (2015) - Sphere"),
    "points elsewhere": (UTM, lambda: _points(cols=range(60, 80)), "None of the 20 points lies on the scene"),
    "all points on nodata": (UTM, lambda: _points(cols=range(9)), "lie where the image is nodata"),
    "training points on nodata": (UTM, _on_nodata, "None of the 12 points is left for training"),
    "all points marked as test": (
        UTM, lambda: _points().with_split(["test"] * N), "None of the 20 points is left for training",
    ),
    "one class left for training": (
        UTM, lambda: _points().with_split(["train", "test"] * (N // 2)),
        "All 10 labelled pixels on the scenes are of one class, 'water'.",
    ),
    "one pixel of a class": (
        UTM, lambda: _points(class_index=np.r_[1, np.zeros(N - 1, int)]),
        "The class 'field' has 1 labelled pixel on the scenes.",
    ),
    "one pixel of a class left by the split": (
        UTM, lambda: _points().with_split(["train", "train"] + ["train", "buffer"] * (N // 2 - 1)),
        "The class 'field' has 1 labelled pixel on the scenes.",
    ),
    "one class": (UTM, lambda: _points(class_index=np.zeros(N, int)), "only points of 'water' on the scenes"),
    "a code that no map holds": (
        UTM, lambda: _points(legend=Legend.from_names(["water", "field"], codes=[1, 70000])),
        "The class code 70000 is too large for a class map.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLE)
def test_the_check_finds_what_stops_a_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crs, make, text = TROUBLE[name]
    scene, points = _scene(tmp_path, crs), make()
    check = check_points(points, scene)
    assert not check.usable
    message = next(p.message for p in check.problems if p.severity == "error")
    assert text in message
    monkeypatch.setattr(
        preparation, "read_training_imagery", lambda *_, **__: pytest.fail("read imagery")
    )
    with pytest.raises(GeopointsegError) as refused:
        train([scene], points, output=tmp_path / "model", model="forest", config=Config())
    assert str(refused.value) == message
    assert not (tmp_path / "model").exists()


def test_a_scene_of_other_ground_among_the_scenes_is_named(tmp_path: Path) -> None:
    scenes = [_scene(tmp_path, UTM), _scene(tmp_path, SITE, "plan.tif")]
    check = check_points(_points(), scenes)
    [error] = [p for p in check.problems if p.severity == "error"]
    assert "'plan.tif' is in 'site grid'" in error.message
    with pytest.raises(GeopointsegError) as refused:
        train(scenes, _points(), output=tmp_path / "model", model="forest")
    assert str(refused.value) == error.message


@pytest.mark.parametrize("crs", [SITE, MARS, CRS.from_user_input("IAU_2015:30120")])
def test_a_scene_without_a_place_on_the_earth_is_learnt_from(crs: CRS, tmp_path: Path) -> None:
    scene, points = _scene(tmp_path, crs), _points(crs)
    check = check_points(points, scene)
    assert check.usable
    notes = [p.message for p in check.problems if p.kind == "planar"]
    assert len(notes) == (crs == SITE)
    model = train([scene], points, output=tmp_path / "model", model="forest")
    [described] = model.metadata["scenes"]
    assert described["bounds_wgs84"] is None
    assert described["bounds"] == [500000.0, 5699600.0, 500400.0, 5700000.0]


def test_constant_imagery_has_no_features_and_the_forest_is_used_alone(tmp_path) -> None:
    path = _scene(tmp_path, UTM)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.where(dataset.read() > 0, 90, 0).astype("uint8"))
    sentence = "All bands have the same value everywhere, so there are no features to learn from."
    with pytest.raises(GeopointsegError, match=sentence):
        train(path, _points(), output=tmp_path / "linear", model="linear")
    told: list[str] = []
    sink = SimpleNamespace(
        emit=lambda event: told.append(getattr(event, "message", "")), close=lambda: None
    )
    model = train(path, _points(), output=tmp_path / "auto", minutes=0.5, reporter=Reporter(sink))
    assert [member.kind for member in model.members] == ["forest"]
    assert any(
        line.startswith(sentence) and line.endswith("The forest is used alone.") for line in told
    )
