"""Cross-validation by scene: each scene is mapped by a model that has not seen it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopointseg.config import Config
from geopointseg.errors import PointsError
from geopointseg.labels.block_split import assign_blocks
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.progress import Reporter
from geopointseg.raster.scene import Scene
from geopointseg.validation import cross_validation as validation
from geopointseg.validation.folds import divide_by_scene, make_rounds

LEGEND = Legend.from_names(["dark", "bright"])
SMALL = Config().updated({"forest": {"trees": 10, "features": "pixel"}})
SIDE = 80


def write(path: Path, left: float, gain: float = 1.0, seed: int = 0) -> Path:
    """Two classes, left half dark and right half bright, in a light of its own."""
    generator = np.random.default_rng(seed)
    image = generator.normal(40, 5, (2, SIDE, SIDE))
    image[:, :, SIDE // 2 :] += 60
    stored = np.clip(image * gain, 1, 255).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=SIDE, width=SIDE, dtype="uint8", crs="EPSG:32633",
        transform=Affine(10, 0, left, 0, -10, 5_700_000), photometric="MINISBLACK",
    ) as target:  # fmt: skip
        target.write(stored)
    return path


def points_on(*lefts: float, count: int = 40, scene: str = "") -> Points:
    generator = np.random.default_rng(1)
    col = generator.uniform(1, SIDE - 1, (len(lefts), count))
    x = np.array(lefts)[:, None] + 10 * col
    y = 5_700_000 - 10 * generator.uniform(1, SIDE - 1, col.shape)
    index = (col >= SIDE // 2).astype(int).ravel()
    names = [scene] * index.size
    return Points.from_arrays(x.ravel(), y.ravel(), index, LEGEND, "EPSG:32633", scene=names)


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """Two places, and the first one again on another day."""
    return [
        write(tmp_path / "east_2019.tif", 500_000),
        write(tmp_path / "east_2020.tif", 500_000, gain=1.1, seed=1),
        write(tmp_path / "west_2019.tif", 300_000, seed=2),
    ]


def test_every_block_is_tested_on_one_scene_that_shows_it(places: list[Path]) -> None:
    points = points_on(500_000, 300_000)
    divided = divide_by_scene(points, [Scene.open(p) for p in places], 200)
    assert set(divided.split[:40]) == {"fold1", "fold2"}
    assert set(divided.split[40:]) == {"fold3"}
    block = assign_blocks(points, 200)
    for number in np.unique(block):
        assert len(set(divided.split[block == number])) == 1


def test_points_that_name_a_scene_are_tested_there(places: list[Path]) -> None:
    scenes = [Scene.open(p) for p in places]
    named = points_on(500_000, scene="east_2020")
    far = points_on(300_000)
    both = Points.from_arrays(
        np.r_[named.x, far.x], np.r_[named.y, far.y], np.r_[named.class_index, far.class_index],
        LEGEND, "EPSG:32633", scene=[*named.scene, *far.scene],
    )  # fmt: skip
    with pytest.warns(UserWarning, match=r"No point is tested on east_2019.tif; the other 2"):
        divided = divide_by_scene(both, scenes, 200)
    assert set(divided.split[:40]) == {"fold2"}


def test_one_scene_with_points_is_too_few(places: list[Path]) -> None:
    with pytest.raises(PointsError, match=r"1 of the 2 scenes have points to be tested on. Exp"):
        divide_by_scene(points_on(300_000), [Scene.open(p) for p in (places[0], places[2])], 200)


def test_single_scenes_know_the_nodata_value(places: list[Path]) -> None:
    config = SMALL.updated({"scene": {"nodata": "7"}})
    scenes = validation._single_scenes(places, config, Reporter())["sources"]
    assert {band.nodata for scene in scenes for band in scene.bands} == {7}


@pytest.mark.filterwarnings("ignore")
def test_the_scene_left_out_is_not_learnt_from(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[tuple[set[str], Points]] = []
    asked: list[str] = []
    train, predict_points = validation.train, validation.predict_points

    def note_training(sources: Any, points: Points, **options: Any) -> Any:
        learnt.append(({scene.name for scene in sources}, points))
        return train(sources, points, **options)

    def note_asking(bundle: Any, scenes: Any, points: Points, **options: Any) -> Any:
        (scene,) = scenes
        asked.append(scene.name)
        assert scene.name not in learnt[-1][0]
        assert not np.isin(points.x, learnt[-1][1].x).any()
        return predict_points(bundle, scenes, points, **options)

    monkeypatch.setattr(validation, "train", note_training)
    monkeypatch.setattr(validation, "predict_points", note_asking)
    found = validation.validate(
        places, points_on(500_000, 300_000), config=SMALL, model="forest", by="scene",
        block_size_m=200, buffer_m=0, curve=False,
    )  # fmt: skip
    assert set(asked) == {p.name for p in places}
    assert all(len(names) == 2 for names, _ in learnt)
    assert found.recipe.confusion.total == 80
    assert found.recipe.confusion.overall_accuracy > 0.95
    assert "3 scenes, each left out in turn" in found.sentences()[0]
    assert json.loads(json.dumps(found.to_json()))["by"] == "scene"


@pytest.mark.filterwarnings("ignore")
def test_a_scene_in_another_light_shows_in_the_score(places: list[Path], tmp_path: Path) -> None:
    """Held-out blocks of the same scenes hide what a scene left out shows."""
    odd = write(tmp_path / "odd.tif", 100_000, gain=2.5, seed=4)
    scenes, points = [places[0], places[2], odd], points_on(500_000, 300_000, 100_000)
    common: dict[str, Any] = {"config": SMALL, "model": "forest", "curve": False, "buffer_m": 0}
    by_block = validation.validate(scenes, points, block_size_m=200, folds=3, **common)
    by_scene = validation.validate(scenes, points, block_size_m=200, by="scene", **common)
    assert by_block.recipe.mean_f1[0] > by_scene.recipe.mean_f1[0] + 0.1


def test_points_on_no_scene_do_not_change_the_buffer(places: list[Path]) -> None:
    scenes = [Scene.open(path) for path in (places[0], places[2])]
    found = []
    for lefts in ((500_000, 300_000), (500_000, 300_000, 900_000, 950_000)):
        warnings: list[str] = []
        divided = divide_by_scene(points_on(*lefts), scenes, 100.0)
        _, buffer = make_rounds(divided, scenes[0], 144.0, None, warnings)
        found.append((buffer, warnings))
    assert found == [(144.0, [])] * 2
