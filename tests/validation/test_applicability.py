"""Maps of applicability: known ground inside, strange ground outside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopointseg.config import Config
from geopointseg.errors import Cancelled, OutputError, PointsError
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.model.bundle import ModelBundle
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import ClassMap
from geopointseg.validation.applicability import NODATA, map_applicability

LANDSCAPE = make_landscape(150, 200, seed=3)
POINTS = draw_points(LANDSCAPE, 20, seed=1)
pytestmark = pytest.mark.filterwarnings("ignore:Fewer than 20 labelled pixels")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold the scene, and one whose lower half is like nothing on it."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(LANDSCAPE, str(folder / "scene.tif"))
    image = LANDSCAPE.image.copy()
    image[:, 75:] = np.array([9000, 500, 9000, 500])[:, None, None]
    write_scene(dataclasses.replace(LANDSCAPE, image=image), str(folder / "strange.tif"))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> ModelBundle:
    config = Config().updated({"forest": {"trees": 10, "features": "filters"}})
    return train([folder / "scene.tif"], POINTS, output=folder / "m", config=config, model="forest")


def test_training_ground_is_known(folder: Path, model: ModelBundle, tmp_path: Path) -> None:
    found = map_applicability(model, folder / "scene.tif", tmp_path / "aoa.tif", points=POINTS)
    assert found.share_inside > 0.8
    with rasterio.open(found.dissimilarity) as dataset:
        index = dataset.read(1)
        assert dataset.nodata == NODATA
        assert float(dataset.tags()["threshold"]) == pytest.approx(found.threshold, rel=1e-4)
    np.testing.assert_array_equal(index == NODATA, ~LANDSCAPE.valid)
    moved = POINTS.to_crs(LANDSCAPE.grid.crs)
    row, col = (np.floor(v).astype(int) for v in LANDSCAPE.grid.world_to_pixel(moved.x, moved.y))
    np.testing.assert_allclose(index[row, col], 0, atol=1e-3)
    mask, valid = ClassMap.open(found.mask).read()
    np.testing.assert_array_equal(valid, LANDSCAPE.valid)
    np.testing.assert_array_equal(mask[valid] == 0, index[valid] <= found.threshold)
    assert (mask[valid] == 0).mean() == pytest.approx(found.share_inside)


def test_report_shows_it(folder: Path, model: ModelBundle, tmp_path: Path) -> None:
    from geopointseg.report.applicability_section import ApplicabilityMap, applicability_section
    from geopointseg.report.document import write_document
    from geopointseg.report.section import Document

    found = map_applicability(model, folder / "scene.tif", tmp_path / "aoa.tif", points=POINTS)
    assert ApplicabilityMap.open(tmp_path / "aoa.tif").share_inside == pytest.approx(
        found.share_inside
    )
    document = Document("Map", "", sections=[applicability_section(found)])
    text = write_document(document, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "unlike the training points" in text
    assert f"{100 * found.share_inside:.1f}" in text


def test_strange_ground_is_not(folder: Path, model: ModelBundle, tmp_path: Path) -> None:
    found = map_applicability(
        model.folder, folder / "strange.tif", tmp_path / "aoa.tif", points=POINTS,
        training_scenes=[folder / "scene.tif"],
    )  # fmt: skip
    mask, valid = ClassMap.open(found.mask).read()
    lower = np.zeros(valid.shape, dtype=bool)
    lower[95:] = True
    assert (mask[valid & lower] == 1).all()
    assert found.share_inside < 0.6
    assert "does not apply to the rest" in found.sentences()[0]


def test_points_must_be_known(folder: Path, model: ModelBundle, tmp_path: Path) -> None:
    far = dataclasses.replace(POINTS, x=POINTS.x + 5)
    with pytest.raises(PointsError, match=r"0 of 160 training points lie on an image"):
        map_applicability(model, folder / "scene.tif", tmp_path / "a.tif", points=far)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tif", "a_mask.tif"])
def test_scenes_are_not_replaced(
    folder: Path, model: ModelBundle, tmp_path: Path, name: str
) -> None:
    scene = tmp_path / name
    scene.write_bytes((folder / "scene.tif").read_bytes())
    before = scene.read_bytes()
    with pytest.raises(OutputError, match="is also a file that is read"):
        map_applicability(
            model, folder / "scene.tif", tmp_path / "a.tif", points=POINTS, training_scenes=[scene]
        )
    assert scene.read_bytes() == before
    assert list(tmp_path.iterdir()) == [scene]


def test_cancelling_leaves_no_file(folder: Path, model: ModelBundle, tmp_path: Path) -> None:
    reporter = Reporter()
    reporter.cancel()
    with pytest.raises(Cancelled):
        map_applicability(
            model, folder / "scene.tif", tmp_path / "a.tif", points=POINTS, reporter=reporter
        )
    assert not list(tmp_path.iterdir())
