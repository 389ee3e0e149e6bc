"""A file may hold test points, rasters, or both: which is meant is told by the options or asked, never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.reference_kind import is_raster_reference
from geopointseg.errors import InputFileError, PointsError
from geopointseg.labels.points import Points, write_points
from geopointseg.legend import Legend
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names(["a", "b"])
GRID = Grid(rasterio.crs.CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_700_000), 40, 40)
TRUTH = (np.indices(GRID.shape).sum(axis=0) // 8) % 2


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    return write_class_map(tmp_path / "map.tif", TRUTH, GRID, LEGEND)


def _add_raster(path: Path, table: str, values: np.ndarray) -> Path:
    with rasterio.open(
        path, "w", driver="GPKG", count=1, height=40, width=40, dtype="uint8", crs=GRID.crs,
        transform=GRID.transform, APPEND_SUBDATASET="YES", RASTER_TABLE=table, TILE_FORMAT="PNG",
    ) as dataset:  # fmt: skip
        dataset.write(values.astype("uint8"), 1)
    return path


def _add_points(path: Path) -> Path:
    row, col = np.divmod(np.random.default_rng(0).choice(1600, 60, replace=False), 40)
    x, y = GRID.pixel_to_world(row + 0.5, col + 0.5)
    write_points(
        Points.from_arrays(x, y, TRUTH[row, col], LEGEND, GRID.crs, class_field="cover"), path
    )
    return path


@pytest.fixture
def both(tmp_path: Path) -> Path:
    return _add_raster(_add_points(tmp_path / "test.gpkg"), "basemap", 20 + TRUTH)


@pytest.mark.parametrize("options", [{"layer": "points"}, {"class_field": "cover"}])
def test_a_layer_or_a_class_field_mean_points(class_map, both, options) -> None:
    assessed = assess(class_map, both, **options)
    assert assessed.confusion.total == 60
    assert assessed.confusion.counts.trace() == 60


def test_a_file_with_both_is_asked_about(class_map, both) -> None:
    with pytest.raises(InputFileError) as asked:
        assess(class_map, both)
    table = f"GPKG:{both}:basemap"
    assert str(asked.value) == (
        f"'{both}' holds layers (points) and rasters ({table}). Expected one reference; name the layer of "
        f"points with `layer=`, or give the raster itself, for example '{table}'."
    )


def test_the_raster_of_such_a_file_can_be_named(class_map, both) -> None:
    true = _add_raster(both, "truth", 1 + TRUTH)
    assert assess(class_map, f"GPKG:{true}:truth").confusion.counts.trace() == 1600


def test_two_rasters_beside_points_are_all_named(both) -> None:
    _add_raster(both, "second", TRUTH)
    with pytest.raises(
        InputFileError, match=r"layers \(points\) and rasters \(.*basemap, .*second\)"
    ):
        is_raster_reference(both)


def test_a_file_of_one_kind_needs_no_word(tmp_path, class_map) -> None:
    points = _add_points(tmp_path / "points only.gpkg")
    raster = _add_raster(tmp_path / "raster!only;.gpkg", "t", 1 + TRUTH)
    assert not is_raster_reference(points)
    assert is_raster_reference(raster)
    assert is_raster_reference(class_map)
    assert assess(class_map, points).confusion.total == 60


def test_several_rasters_are_asked_about(tmp_path) -> None:
    path = _add_raster(tmp_path / "r.gpkg", "one", TRUTH)
    _add_raster(path, "two", TRUTH)
    with pytest.raises(InputFileError, match=r"holds 2 rasters \(GPKG:.*:one, GPKG:.*:two\)"):
        is_raster_reference(path)


def test_a_class_field_of_a_raster_is_refused(tmp_path, class_map) -> None:
    with pytest.raises((InputFileError, PointsError), match="Expected"):
        assess(class_map, class_map, class_field="cover")


def test_a_missing_file_is_told(class_map, tmp_path) -> None:
    with pytest.raises(InputFileError, match=r"The reference '.*no\.gpkg' does not exist"):
        assess(class_map, tmp_path / "no.gpkg")
