"""A run that is refused leaves nothing: no file, no folder, not even an empty one."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from affine import Affine

from geopointseg.cli import app as cli_app
from geopointseg.config import Config
from geopointseg.labels.points import write_points
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.learning.training import train

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a scene, its points, a model, a raster of one band, and a scene far away."""
    folder = tmp_path_factory.mktemp("given")
    landscape = make_landscape(150, 200, seed=3)
    points = draw_points(landscape, 20, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    write_points(points, folder / "points.gpkg")
    config = Config().updated({"forest": {"trees": 10}})
    train(folder / "scene.tif", points, output=folder / "model", config=config, model="forest")
    with rasterio.open(folder / "scene.tif") as scene:
        profile, image = scene.profile, scene.read()
    with rasterio.open(folder / "one.tif", "w", **profile | {"count": 1}) as one:
        one.write(image[:1])
    away = profile["transform"] * Affine.translation(10_000, 10_000)
    with rasterio.open(folder / "far.tif", "w", **profile | {"transform": away}) as far:
        far.write(image)
    (folder / "study.toml").write_text("nonsense = 1\n")
    return folder


PREDICT = "predict model --raster scene.tif -o m.tif "
TRAIN = "train scene.tif --points points.gpkg -o new/folder/m "
PRETRAIN = "pretrain scene.tif -o new/w "
MATCH = "match scene.tif -o m.tif --reference "
SUGGEST = "suggest model --raster scene.tif -o s.gpkg "
VALIDATE = "validate scene.tif --points points.gpkg --model forest "


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict model --raster one.tif -o m.tif", "has no band 'blue'"),
        ("predict nothing --raster scene.tif -o m.tif", "does not exist"),
        (PREDICT + "--aoi none.gpkg", "does not exist"),
        (PREDICT + "--probabilities no/p.tif", "does not exist"),
        (PREDICT + "--uncertainty m.tif", "was named for two products"),
        (PREDICT + "--overlap 5000", "The overlap is 5000 pixels"),
        (PREDICT + "--dask local:x", "Expected local:N"),
        (PREDICT + "--dask tcp://127.0.0.1:9", "No Dask scheduler answers"),
        (PREDICT + "--min-area-px -3 --applicability a.tif", "The smallest patch is -3"),
        (PREDICT + "--window 8 --applicability a.tif", "Expected 32 to 8192"),
        (PREDICT + "--applicability m.tif", "was named for two products"),
        (PREDICT + "--probabilities a_mask.tif --applicability a.tif", "named for two products"),
        (PREDICT + "--applicability no/a.tif", "does not exist"),
        (PREDICT + "--applicability a.tif --trained-on far.tif", "0 of 160 training points"),
        (TRAIN + "--set loss.gamma=nan", "gamma is nan"),
        (TRAIN + "--set model.decoder_channels=[]", "Expected at least 1 value"),
        (TRAIN + "--weights nothing", "no weights 'nothing'"),
        (TRAIN + "--bands 1,99", "no band number 99"),
        (TRAIN + "--resume", "nothing to resume"),
        (TRAIN + "--model network --set model.encoder=nothing", "no encoder 'nothing'"),
        (TRAIN + "--unlabelled none.tif", "does not exist"),
        ("train far.tif --points points.gpkg -o new/m", "None of the 160 points"),
        ("pretrain none.tif -o new/w", "does not exist"),
        (PRETRAIN + "--resume", "nothing to resume"),
        (PRETRAIN + "--set model.encoder=nothing", "no encoder 'nothing'"),
        (MATCH + "one.tif", "has no band 'blue'"),
        (MATCH + "scene.tif --figure no/f.png", "does not exist"),
        (MATCH + "scene.tif --figure f.xyz", "ending 'xyz' names no picture format"),
        (SUGGEST + "--count 0 --min-distance-m 5", "Expected at least one"),
        (SUGGEST + "--count 5 --min-distance-m inf", "The smallest distance is inf m"),
        ("export model -o m.onnx", "a forest without a network"),
        ("study study.toml -o new/s", "unknown key 'nonsense'"),
        ("demo new/d --minutes nan", "minutes is nan"),
        ("demo new/d --scene none.tif --points points.gpkg", "does not exist"),
        ("points simulate one.tif -o p.gpkg --per-class 5 --min-distance-m nan", "is nan m"),
        ("points split points.gpkg -o p.gpkg --block-size-m nan --folds 3", "is nan m"),
        ("points rasterize points.gpkg --like none.tif -o m.tif", "does not exist"),
        (VALIDATE + "--buffer-m nan -o r.html", "The buffer is nan m"),
        (VALIDATE + "-o no/r.html", "The folder 'no' of the output 'r.html' does not exist"),
        ("assess one.tif --points points.gpkg -o no/r.html", "The folder 'no' of the output"),
        ("assess one.tif --points points.gpkg --model one.tif -o r.html", "no readable model.json"),
    ],
)
def test_a_refused_run_leaves_nothing(
    given: Path,
    tmp_path: Path,
    command: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(given.rglob("*"))
    names = {path.name for path in given.iterdir()}
    arguments = [str(given / part) if part in names else part for part in command.split()]
    with pytest.raises(SystemExit) as stopped:
        cli_app.main([*arguments, "--progress", "none", "--device", "cpu"])
    assert stopped.value.code == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert sorted(given.rglob("*")) == before
