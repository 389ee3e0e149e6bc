"""Striped rasters: the same maps as tiled ones, each strip decoded once a row of tiles."""

from __future__ import annotations

import numpy as np
import pytest

from geopointseg.prediction.predictor import predict
from geopointseg.prediction.tiling import lay_lattice
from geopointseg.raster.scene import Scene
from tests.prediction.conftest import (
    SMALL,
    TRANSFORM,
    BlurMember,
    image_of,
    loose_bundle,
    write_scene,
)

TILED = {"tiled": True, "blockxsize": 32, "blockysize": 32}


@pytest.fixture
def decoded(monkeypatch):
    """Windows that are decoded from files."""
    windows = []
    real = Scene.read_stored

    def spy(self, window, shape=None):
        windows.append(window)
        return real(self, window, shape)

    monkeypatch.setattr(Scene, "read_stored", spy)
    return windows


@pytest.mark.parametrize("piece_bytes", [1, 16 * 2**20])
def test_maps_are_those_of_tiled_rasters(tmp_path, small_tiles, monkeypatch, piece_bytes):
    monkeypatch.setattr("geopointseg.prediction.row_cache.DECODE_BYTES", piece_bytes)
    image = image_of((230, 400))
    valid = image[0] < 1
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    maps = []
    for name, layout in (("tiled", TILED), ("striped", {"blockysize": 7, "compress": "deflate"})):
        scene = write_scene(tmp_path / f"{name}.tif", image, nodata=-1.0, valid=valid, **layout)
        predict(bundle, scene, tmp_path / "map.tif", uncertainty=tmp_path / "u.tif", **SMALL)
        maps.append([(tmp_path / f).read_bytes() for f in ("map.tif", "u.tif")])
    assert maps[0] == maps[1]


def test_rows_are_decoded_once_a_row_of_tiles(tmp_path, small_tiles, decoded, monkeypatch):
    laid = []

    def spy(*args, **kwargs):
        laid.append(lay_lattice(*args, **kwargs))
        return laid[-1]

    monkeypatch.setattr("geopointseg.prediction.prediction_job.lay_lattice", spy)
    scene = write_scene(tmp_path / "s.tif", image_of((230, 2000)), compress="deflate")
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    predict(bundle, scene, tmp_path / "map.tif", **SMALL)
    full = [(w.row_off, w.row_off + w.height) for w in decoded if w.width == 2000]
    others = sum(w.width * w.height for w in decoded if w.width < 2000)
    rows = laid[-1].rows
    reaches = [rows.reach(tile) for tile in range(len(rows.groups))]
    assert len(laid[-1].cols.groups) > 4
    looked_at, *decoded_rows = full
    assert looked_at[1] - looked_at[0] <= 16
    assert decoded_rows == [(start, min(end, 230)) for start, end in reaches]
    assert others < 0.1 * 230 * 2000


def test_mosaics_of_striped_rasters(tmp_path, small_tiles):
    image = image_of((150, 600))
    bundle = loose_bundle(tmp_path / "m", BlurMember())
    whole = write_scene(tmp_path / "whole.tif", image, **TILED)
    predict(bundle, whole, tmp_path / "a.tif", **SMALL)
    left = write_scene(tmp_path / "left.tif", image[:, :, :330])
    right = write_scene(
        tmp_path / "right.tif",
        image[:, :, 300:],
        transform=TRANSFORM * TRANSFORM.translation(300, 0),
    )
    predict(bundle, [left, right], tmp_path / "b.tif", **SMALL)
    found = [Scene.open(tmp_path / name).read().image for name in ("a.tif", "b.tif")]
    assert np.array_equal(*found)


def test_nothing_is_left_beside_the_map(tmp_path, small_tiles):
    scene = write_scene(tmp_path / "s.tif", image_of((130, 400)))
    predict(loose_bundle(tmp_path / "m", BlurMember()), scene, tmp_path / "map.tif", **SMALL)
    assert not list(tmp_path.glob("*partial*"))
