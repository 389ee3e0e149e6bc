"""Imagery with a coarser embedding beside it: each has members of its own, which are combined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopointseg.bands.opening import open_scenes
from geopointseg.config import Config
from geopointseg.errors import ConfigError, InputFileError, RasterError
from geopointseg.lab.synthetic_embedding import (
    SyntheticEmbedding,
    make_embedding,
    write_alpha_earth,
)
from geopointseg.lab.synthetic_landscape import draw_points, make_landscape, write_scene
from geopointseg.labels.points import Points
from geopointseg.learning.training import train
from geopointseg.prediction.backend import accelerate
from geopointseg.prediction.predictor import predict
from geopointseg.raster.companion_scene import CompanionScene
from geopointseg.raster.scene import Scene

pytestmark = pytest.mark.filterwarnings("ignore")
SIDE = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Imagery of 1 m, and an embedding of 10 m that covers it and more."""
    made = tmp_path_factory.mktemp("companion")
    write_scene(make_landscape(200, 240, seed=3), str(made / "photo.tif"))
    coarse = make_embedding(30, 34, seed=5)
    grid = replace(coarse.grid, transform=Affine(10, 0, 398_980, 0, -10, 5_650_030))
    valid = np.ones(grid.shape, bool)
    landscape = replace(coarse.landscape, grid=grid, valid=valid)
    write_alpha_earth(SyntheticEmbedding(coarse.vectors, landscape), made / "e.tif")
    return made


@pytest.fixture(scope="module")
def points() -> Points:
    return draw_points(make_landscape(200, 240, seed=3), 15, 1)


def _settings(folder: Path, **more: object) -> Config:
    scene = {"companion": str(folder / "e.tif"), **more}
    return Config().updated({"scene": scene, "forest": {"trees": 20}})


def test_each_pixel_gets_the_vector_of_the_pixel_that_it_lies_in(folder: Path) -> None:
    [imagery] = open_scenes([folder / "photo.tif"])
    [vectors] = open_scenes([folder / "e.tif"])
    scene = CompanionScene.of(imagery, vectors)
    chip, sharp, coarse = scene.read(), imagery.read(), vectors.read()
    row, col = np.indices(imagery.shape)
    expected = coarse.image[:, (row + 30) // SIDE, (col + 20) // SIDE]
    np.testing.assert_array_equal(chip.valid, sharp.valid)
    np.testing.assert_array_equal(chip.image[:4], sharp.image)
    np.testing.assert_array_equal(chip.image[4:][:, chip.valid], expected[:, chip.valid])


@pytest.mark.parametrize("kind", ["auto", "knn"])
def test_members_look_at_their_own_bands_and_are_combined(
    folder: Path, points: Points, kind: str
) -> None:
    model = train(
        folder / "photo.tif", points, output=folder / kind, config=_settings(folder), model=kind
    )  # type: ignore[arg-type]
    assert len(model.bands) == 68
    scored = set(model.metadata["scores"]) - {"how", "together"}
    own = {"embedding knn"}
    assert scored == (
        own
        if kind == "knn"
        else {
            "forest",
            "linear",
            "embedding forest",
            "embedding linear",
            "embedding perceptron",
            *own,
        }
    )
    assert model.metadata["companion"]["product"] == "AlphaEarth"
    predict(
        model,
        folder / "photo.tif",
        folder / "m.tif",
        probabilities=folder / "p.tif",
        encoding="float32",
    )
    [imagery] = open_scenes([folder / "photo.tif"])
    chip = CompanionScene.of(imagery, open_scenes([folder / "e.tif"])[0]).read()
    direct = model.probabilities(chip.image[None], chip.valid[None])[0]
    fast = accelerate(model, "torch").probabilities(chip.image[None], chip.valid[None])[0]
    np.testing.assert_allclose(fast[:, chip.valid], direct[:, chip.valid], atol=1e-4)
    with rasterio.open(folder / "p.tif") as dataset:
        found = dataset.read()[:, chip.valid]
    assert np.isfinite(found).all()
    if kind == "knn":  # members on imagery see the padding of the window
        np.testing.assert_allclose(found, direct[:, chip.valid], atol=1e-4)
    with rasterio.open(folder / "m.tif") as dataset:
        assert dataset.shape == imagery.shape
        assert "Google DeepMind" in dataset.tags()["ATTRIBUTION"]
    assert "Google DeepMind" in (model.folder / "README.md").read_text()


def test_what_cannot_be_companions_is_said(folder: Path, points: Points) -> None:
    train_on = {"points": points, "output": folder / "x"}
    with pytest.raises(ConfigError, match=r"A network was requested beside a \[scene\] companion"):
        train(folder / "photo.tif", config=_settings(folder), model="network", **train_on)
    with pytest.raises(
        RasterError, match=r"'photo.tif' is imagery\. Expected an embedding as \[scene\] companion"
    ):
        settings = _settings(folder, companion=str(folder / "photo.tif"))
        train(folder / "photo.tif", config=settings, model="forest", **train_on)
    with pytest.raises(RasterError, match=r"'e.tif' is an embedding"):
        train(folder / "e.tif", config=_settings(folder), model="forest", **train_on)


def test_another_version_is_refused_and_another_file_taken(folder: Path, points: Points) -> None:
    model = train(
        folder / "photo.tif", points, output=folder / "k", config=_settings(folder), model="knn"
    )
    coarse = make_embedding(30, 34, seed=6)
    grid = replace(coarse.grid, transform=Affine(10, 0, 398_980, 0, -10, 5_650_030))
    moved = SyntheticEmbedding(coarse.vectors, replace(coarse.landscape, grid=grid))
    other = write_alpha_earth(moved, folder / "other.tif", version="2")
    with pytest.raises(
        RasterError, match="AlphaEarth 2 2024 and the model was trained on AlphaEarth 1 2024"
    ):
        predict(model, folder / "photo.tif", folder / "m.tif", companion=other)
    with pytest.raises(InputFileError, match="and with `companion=` for a map"):
        predict(model, folder / "photo.tif", folder / "m.tif", companion=folder / "none.tif")
    same = write_alpha_earth(moved, folder / "same.tif")
    predict(model, folder / "photo.tif", folder / "m1.tif")
    predict(model, folder / "photo.tif", folder / "m2.tif", companion=same)
    maps = [Scene.open(folder / name).read().image for name in ("m1.tif", "m2.tif")]
    assert (maps[0] != maps[1]).mean() > 0.1
