"""Maps of similarity: the cosine of vectors, by class, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopointseg.cli import app as cli_app
from geopointseg.errors import PointsError, RasterError
from geopointseg.lab.synthetic_embedding import make_embedding, write_alpha_earth, write_tessera
from geopointseg.lab.synthetic_landscape import draw_points, make_landscape, write_scene
from geopointseg.labels.points import write_points
from geopointseg.validation.similarity import map_similarity

EMBEDDING = make_embedding(80, 90, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("similar")
    write_alpha_earth(EMBEDDING, made / "a.tif")
    return made


def _cosine(folder: Path, row: int, col: int) -> np.ndarray:
    with rasterio.open(folder / "a.tif") as dataset:
        codes = dataset.read().astype(np.float64)
    vectors = np.sign(codes) * (codes / 127.5) ** 2
    vectors /= np.linalg.norm(vectors, axis=0)
    return np.tensordot(vectors[:, row, col], vectors, axes=1)


def test_a_point_is_like_itself_and_others_by_their_cosine(folder: Path) -> None:
    x, y = (float(v) for v in EMBEDDING.grid.pixel_to_world(30.5, 40.5))
    done = map_similarity(folder / "a.tif", [(x, y)], folder / "s.tif")
    valid = EMBEDDING.landscape.valid
    with rasterio.open(folder / "s.tif") as dataset:
        found, tags = dataset.read(1), dataset.tags()
        assert dataset.crs == EMBEDDING.grid.crs
    np.testing.assert_allclose(found[valid], _cosine(folder, 30, 40)[valid], atol=1e-5)
    assert np.isnan(found[~valid]).all()
    assert found[30, 40] == pytest.approx(1, abs=1e-6)
    assert done.points == {"similarity": 1}
    assert "Google DeepMind" in tags["ATTRIBUTION"]


def test_each_class_is_a_band_with_the_largest_similarity(folder: Path) -> None:
    points = draw_points(EMBEDDING.landscape, 6, 1)
    done = map_similarity(folder / "a.tif", points, folder / "c.tif")
    present = [name for name, n in zip(points.legend.names, points.counts(), strict=True) if n]
    with rasterio.open(folder / "c.tif") as dataset:
        assert list(dataset.descriptions) == present == list(done.points)
        found = dataset.read()
    moved = points.to_crs(EMBEDDING.grid.crs)
    row, col = (np.floor(v).astype(int) for v in EMBEDDING.grid.world_to_pixel(moved.x, moved.y))
    first = points.class_index == points.legend.names.index(present[0])
    known = np.max(
        [_cosine(folder, r, c) for r, c in zip(row[first], col[first], strict=True)], axis=0
    )
    valid = EMBEDDING.landscape.valid
    np.testing.assert_allclose(found[0][valid], known[valid], atol=1e-5)
    truth = points.legend.names.index(present[0]) == EMBEDDING.landscape.truth
    assert found[0][valid & truth].mean() > found[0][valid & ~truth].mean() + 0.1


def test_imagery_and_points_elsewhere_are_refused(folder: Path) -> None:
    write_scene(make_landscape(80, 90, seed=3), str(folder / "photo.tif"))
    with pytest.raises(RasterError, match=r"'photo.tif' is imagery\. Expected an embedding"):
        map_similarity(folder / "photo.tif", [(4e5, 5.65e6)], folder / "x.tif")
    with pytest.raises(PointsError, match="None of the 1 points lies on a valid pixel"):
        map_similarity(folder / "a.tif", [(0.0, 0.0)], folder / "x.tif")
    assert not (folder / "x.tif").exists()


@pytest.mark.parametrize("source", ["a.tif", "t"])
def test_the_command_takes_points_or_coordinates(
    folder: Path, source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    write_tessera(make_embedding(80, 90, dimensions=16, seed=3), "t", version="2")
    write_points(draw_points(EMBEDDING.landscape, 3, 1), folder / "p.gpkg")
    x, y = EMBEDDING.grid.pixel_to_world(30.5, 40.5)
    for given, code in (
        (["--points", "p.gpkg"], 0),
        (["--at", str(float(x)), str(float(y))], 0),
        ([], 2),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli_app.main(["similar", source, *given, "-o", "o.tif", "--progress", "none"])
        assert stopped.value.code == code, capsys.readouterr().err
    assert "give one of them" in capsys.readouterr().err
