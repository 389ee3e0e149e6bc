"""Maps assessed end to end: on points, on rasters, on bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.assessment.estimation import estimate_accuracy
from geopointseg.errors import (
    Cancelled,
    ConfigError,
    InputFileError,
    LegendError,
    PointsError,
    RasterError,
)
from geopointseg.labels.points import Points, write_points
from geopointseg.legend import Legend
from geopointseg.progress import Reporter
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names(["water", "forest", "field"], codes=[0, 20, 30])
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_700_000), 60, 80)
pytestmark = pytest.mark.filterwarnings("ignore:Fewer than 20 test points")


def _truth(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 3, (6, 8)), np.ones((10, 10), dtype=np.int64))


def _wrong(truth: np.ndarray, share: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    flipped = rng.random(truth.shape) < share
    return np.where(flipped, rng.integers(0, 3, truth.shape), truth)


def _points(
    truth: np.ndarray, count: int, seed: int = 2, grid: Grid = GRID, legend: Legend = LEGEND
) -> Points:
    rng = np.random.default_rng(seed)
    flat = rng.choice(truth.size, count, replace=False)
    row, col = np.divmod(flat, truth.shape[1])
    x, y = grid.pixel_to_world(row + 0.5, col + 0.5)
    return Points.from_arrays(x, y, truth.ravel()[flat], legend, grid.crs)


@pytest.fixture
def truth() -> np.ndarray:
    return _truth()


@pytest.fixture
def map_path(tmp_path: Path, truth: np.ndarray) -> Path:
    return write_class_map(tmp_path / "map.tif", _wrong(truth, 0.3), GRID, LEGEND)


def test_points_are_counted_where_they_lie(map_path: Path, truth: np.ndarray) -> None:
    points = _points(truth, 400)
    assessed = assess(map_path, points)
    mapped = _wrong(truth, 0.3)
    row, col = (np.floor(v).astype(int) for v in GRID.world_to_pixel(points.x, points.y))
    expected = ConfusionMatrix.from_labels(mapped[row, col], points.class_index, LEGEND)
    assert assessed.confusion == expected
    sizes = np.bincount(mapped.ravel(), minlength=3)
    by_hand = estimate_accuracy(expected.counts, sizes)
    assert assessed.estimates is not None
    assert assessed.estimates.overall.value == pytest.approx(by_hand.overall.value)
    assert [a.mapped_ha for a in assessed.class_areas.values()] == pytest.approx(sizes / 100)
    assert sum(a.estimated_ha for a in assessed.class_areas.values()) == pytest.approx(48)


def test_points_in_another_crs_give_the_same(map_path: Path, truth: np.ndarray) -> None:
    points = _points(truth, 200)
    moved = points.to_crs(CRS.from_epsg(4326))
    assert assess(map_path, points).confusion == assess(map_path, moved).confusion


def test_headline_follows_the_sampling(map_path: Path, truth: np.ndarray) -> None:
    points = _points(truth, 200)
    unknown, simple = assess(map_path, points), assess(map_path, points, sampling="simple")
    assert unknown.overall_accuracy == unknown.confusion.overall_accuracy
    assert simple.estimates is not None
    assert simple.overall_accuracy == simple.estimates.overall.value
    assert "sampling design of the test points is unknown" in str(unknown)
    assert "not known" not in str(simple)
    assert simple.to_json()["overall_accuracy_kind"] == "area-adjusted"
    assert unknown.to_json()["overall_accuracy_kind"] == "point counts"


def test_json_and_tables_are_plain(map_path: Path, truth: np.ndarray) -> None:
    assessed = assess(map_path, _points(truth, 100))
    document = json.loads(json.dumps(assessed.to_json(), allow_nan=False))
    assert document["point_counts"]["axes"] == "rows = map, columns = reference"
    assert {"overall_accuracy", "mean_f1", "mean_iou"} <= document.keys()
    titles = [title for title, _, _ in assessed.tables()]
    assert any("rows = map, columns = reference" in title for title in titles)
    assert any("Area-adjusted" in title for title in titles)
    assert any("Point counts" in title for title in titles)
    for _, headings, rows in assessed.tables():
        assert all(len(row) == len(headings) for row in rows)


def test_files_are_read(map_path: Path, truth: np.ndarray, tmp_path: Path) -> None:
    points = _points(truth, 90)
    write_points(points, tmp_path / "test.gpkg")
    from_file = assess(map_path, tmp_path / "test.gpkg", class_field="class")
    assert from_file.confusion == assess(map_path, points).confusion


def test_text_classes_match_by_name(map_path: Path, truth: np.ndarray, tmp_path: Path) -> None:
    """A text file without water numbers its classes differently; names decide."""
    points = _points(truth, 300)
    points = points.select(points.class_index > 0)
    named = dataclasses.replace(points, text_classes=True)
    write_points(named, tmp_path / "test.gpkg")
    with pytest.warns(UserWarning, match=r"classes that the reference lacks \(water\)"):
        assessed = assess(map_path, tmp_path / "test.gpkg")
    mapped = _wrong(truth, 0.3)
    row, col = (np.floor(v).astype(int) for v in GRID.world_to_pixel(points.x, points.y))
    assert assessed.overall_accuracy == (mapped[row, col] == points.class_index).mean()
    assert assessed.confusion.absent == 1


@pytest.mark.parametrize("confidence", [0, 1, 1.5, np.nan, np.inf])
def test_confidence_is_a_share(map_path: Path, truth: np.ndarray, confidence: float) -> None:
    with pytest.raises(ConfigError, match=r"Expected a finite number of more than 0 and less than"):
        assess(map_path, _points(truth, 100), confidence=confidence)


def test_only_test_points_of_a_split_are_used(map_path: Path, truth: np.ndarray) -> None:
    points = _points(truth, 100)
    split = np.where(np.arange(100) < 40, "test", "train")
    assert assess(map_path, points.with_split(split)).confusion.total == 40
    unmarked = np.where(np.arange(100) < 40, "", "buffer")
    assert assess(map_path, points.with_split(unmarked)).confusion.total == 40
    with pytest.raises(PointsError, match=r"marks all 100 points as train\. Expected some"):
        assess(map_path, points.with_split(["train"] * 100))


def test_outside_and_nodata_are_counted(tmp_path: Path, truth: np.ndarray) -> None:
    valid = np.ones(GRID.shape, dtype=bool)
    valid[:, :20] = False
    path = write_class_map(tmp_path / "m.tif", truth, GRID, LEGEND, valid=valid)
    points = _points(truth, 300)
    col = GRID.world_to_pixel(points.x, points.y)[1]
    x = points.x.copy()
    x[:5] = 400_000
    assessed = assess(path, dataclasses.replace(points, x=x))
    assert assessed.outside == 5
    assert assessed.on_nodata == (col[5:] < 20).sum() > 0
    assert assessed.confusion.total == 300 - 5 - assessed.on_nodata
    assert "outside the map and" in str(assessed)
    everything = np.zeros(GRID.shape, dtype=bool)
    everything[0, 0] = True
    hidden = write_class_map(tmp_path / "h.tif", truth, GRID, LEGEND, valid=everything)
    inland = points.select(np.floor(GRID.world_to_pixel(points.x, points.y)[0]) > 1)
    with pytest.raises(PointsError, match=r"All \d+ test points .* lie on its nodata"):
        assess(hidden, inland)


def test_points_elsewhere_name_both_extents(map_path: Path, truth: np.ndarray) -> None:
    points = _points(truth, 10)
    far = dataclasses.replace(points, y=points.y - 1e6)
    with pytest.raises(PointsError, match=r"points span x .*EPSG:32633\), the map x 500000 to"):
        assess(map_path, far)


def test_all_points_in_one_stratum_are_refused(tmp_path: Path, truth: np.ndarray) -> None:
    path = write_class_map(tmp_path / "m.tif", truth, GRID, LEGEND)
    points = _points(truth, 200)
    with pytest.raises(
        PointsError, match=r"lie in the class 'forest' of the map\. Expected points in its other 2"
    ):
        assess(path, points.select(points.class_index == 1))


def test_strata_that_rest_on_almost_no_points_are_named(tmp_path: Path, truth: np.ndarray) -> None:
    path = write_class_map(tmp_path / "m.tif", truth, GRID, LEGEND)
    points = _points(truth, 200)
    kept = points.class_index == 1
    kept[np.flatnonzero(points.class_index == 2)[0]] = True
    expected = r"\d % of the area is in strata with only 1 of \d+ test points"
    with pytest.warns(UserWarning, match=expected):
        assess(path, points.select(kept), sampling="stratified")


def test_class_that_the_map_lacks_counts_as_wrong(map_path: Path, truth: np.ndarray) -> None:
    larger = Legend.from_names(["water", "forest", "field", "rock"], codes=[0, 20, 30, 40])
    strange = truth.copy()
    strange[:10] = 3
    with pytest.warns(UserWarning, match=r"classes that the map lacks \(rock\)"):
        assessed = assess(map_path, _points(strange, 300, legend=larger))
    assert assessed.confusion.producers_accuracy[3] == 0
    assert assessed.class_areas["rock"].mapped_ha == 0
    assert assessed.class_areas["rock"].estimated_ha > 0


def test_strata_of_another_raster(tmp_path: Path, map_path: Path, truth: np.ndarray) -> None:
    """Points drawn from an older map: its classes are the strata, with Stehman's estimator."""
    halves = np.zeros(GRID.shape, dtype=np.int64)
    halves[:, 60:] = 1
    strata_legend = Legend.from_names(["west", "east"])
    strata = write_class_map(tmp_path / "strata.tif", halves, GRID, strata_legend)
    points = _points(truth, 300)
    assessed = assess(map_path, points, sampling="stratified", strata=strata)
    mapped = _wrong(truth, 0.3)
    row, col = (np.floor(v).astype(int) for v in GRID.world_to_pixel(points.x, points.y))
    counts = np.zeros((2, 3, 3))
    np.add.at(counts, (halves[row, col], mapped[row, col], points.class_index), 1)
    expected = estimate_accuracy(counts, [60, 20])
    assert assessed.overall_accuracy == pytest.approx(expected.overall.value)
    small = Grid(GRID.crs, GRID.transform, 60, 10)
    partial = write_class_map(tmp_path / "p.tif", halves[:, :10], small, strata_legend)
    with pytest.raises(PointsError, match=r"\d+ of 300 test points lie in no stratum"):
        assess(map_path, points, strata=partial)


def test_polygons_count_by_pixel(map_path: Path, truth: np.ndarray) -> None:
    import shapely

    points = _points(truth, 40)
    shapes = np.full(40, None, dtype=object)
    shapes[0] = shapely.box(500_000, 5_699_900, 500_100, 5_700_000)  # the first 10 x 10 pixels
    drawn = dataclasses.replace(points, shapes=shapes)
    with pytest.warns(UserWarning, match="Neighbouring pixels are correlated"):
        assessed = assess(map_path, drawn)
    assert assessed.confusion.total == 39 + 100


def test_dense_reference_equals_counting_pixels(
    map_path: Path, truth: np.ndarray, tmp_path: Path
) -> None:
    reference = write_class_map(tmp_path / "truth.tif", truth, GRID, LEGEND)
    assessed = assess(map_path, reference)
    mapped = _wrong(truth, 0.3)
    assert assessed.confusion == ConfusionMatrix.from_labels(mapped, truth, LEGEND)
    assert assessed.overall_accuracy == (mapped == truth).mean()
    areas = [area.estimated_ha for area in assessed.class_areas.values()]
    assert areas == pytest.approx(np.bincount(truth.ravel(), minlength=3) / 100)
    assert assessed.class_areas["water"].standard_error_ha == 0


def test_reference_on_another_grid_is_taken_at_pixel_centres(
    map_path: Path, truth: np.ndarray, tmp_path: Path
) -> None:
    """A reference at twice the resolution, shifted and larger, holds the same truth."""
    fine = np.pad(np.kron(truth, np.ones((2, 2), dtype=np.int64)), 4, constant_values=-1)
    transform = Affine(5, 0, 500_000 - 20, 0, -5, 5_700_000 + 20)
    grid = Grid(GRID.crs, transform, *fine.shape)
    reference = write_class_map(tmp_path / "fine.tif", fine, grid, LEGEND, cog=False)
    expected = ConfusionMatrix.from_labels(_wrong(truth, 0.3), truth, LEGEND)
    assert assess(map_path, reference).confusion == expected


def test_partial_reference_gives_no_areas(
    map_path: Path, truth: np.ndarray, tmp_path: Path
) -> None:
    valid = np.zeros(GRID.shape, dtype=bool)
    valid[5:9] = True
    reference = write_class_map(tmp_path / "part.tif", truth, GRID, LEGEND, valid=valid)
    with pytest.warns(UserWarning, match=r"covers 6\.67 % of the map"):
        assessed = assess(map_path, reference)
    assert assessed.confusion.total == 4 * 80
    assert assessed.estimates is None
    assert np.isnan(assessed.class_areas["water"].estimated_ha)
    assert ["class", "on the map, ha"] in [headings for _, headings, _ in assessed.tables()]
    assert sum(area.mapped_ha for area in assessed.class_areas.values()) == pytest.approx(48)
    json.dumps(assessed.to_json(), allow_nan=False)


@pytest.mark.parametrize("nodata", [None, 99])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_reference_ends_where_its_border_and_its_mask_do(
    map_path: Path, truth: np.ndarray, tmp_path: Path, dtype: str, nodata: int | None
) -> None:
    """A reference of the upper half with a mask counts there only, whether it declares nodata or not."""
    path = tmp_path / "half.tif"
    inside = np.ones((30, 80), dtype=bool)
    inside[5:10] = False
    with rasterio.open(
        path, "w", driver="GTiff", crs=GRID.crs, transform=GRID.transform, height=30, width=80,
        count=1, dtype=dtype, nodata=nodata,
    ) as dataset:  # fmt: skip
        dataset.write(LEGEND.codes[truth[:30]].astype(dtype), 1)
        dataset.write_mask(inside)
    expected = ConfusionMatrix.from_labels(
        _wrong(truth, 0.3)[:30][inside], truth[:30][inside], LEGEND
    )
    with pytest.warns(UserWarning, match=r"covers 41\.7 % of the map"):
        assessed = assess(map_path, path)
    np.testing.assert_array_equal(assessed.confusion.counts, expected.counts)


def test_truncated_rasters_are_named(map_path: Path, truth: np.ndarray, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 3, (700, 800))
    grid = Grid(GRID.crs, GRID.transform, 700, 800)
    path = write_class_map(tmp_path / "cut.tif", noise, grid, LEGEND, cog=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputFileError, match=r"cut\.tif' cannot be read at rows 0-700.*truncated"):
        assess(path, _points(truth, 50))
    with pytest.raises(InputFileError, match=r"cut\.tif' cannot be read \(.*truncated"):
        assess(write_class_map(tmp_path / "whole.tif", noise, grid, LEGEND), path)


def test_raster_without_legend_is_matched_by_code(
    map_path: Path, truth: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "plain.tif"
    codes = LEGEND.codes[truth].astype(np.int16)
    with rasterio.open(
        path, "w", driver="GTiff", crs=GRID.crs, transform=GRID.transform, height=60, width=80,
        count=1, dtype="int16", nodata=-1,
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    expected = ConfusionMatrix.from_labels(_wrong(truth, 0.3), truth, LEGEND)
    np.testing.assert_array_equal(assess(map_path, path).confusion.counts, expected.counts)
    assert assess(path, _points(truth, 100)).overall_accuracy == 1.0


@pytest.mark.parametrize(
    "names", [["bare", "field", "water", "forest"], ["water", "field", "ghost", "forest"]]
)
def test_a_raster_with_other_codes_is_matched_by_name(
    map_path: Path, truth: np.ndarray, tmp_path: Path, names: list[str]
) -> None:
    legend = Legend.from_names(names, codes=[0, 1, 4, 20])
    lookup = [names.index(e.name) for e in LEGEND.entries]
    path = write_class_map(tmp_path / "reference.tif", np.array(lookup)[truth], GRID, legend)
    assessed = assess(map_path, path)
    expected = ConfusionMatrix.from_labels(_wrong(truth, 0.3), truth, LEGEND)
    np.testing.assert_array_equal(assessed.confusion.counts[:3, :3], expected.counts)
    assert not [line for line in assessed.warnings if "lacks" in line]


def test_designs_that_make_no_sense_are_refused(
    map_path: Path, truth: np.ndarray, tmp_path: Path
) -> None:
    points = _points(truth, 100)
    with pytest.raises(ConfigError, match="There is no sampling 'random'"):
        assess(map_path, points, sampling="random")
    with pytest.raises(ConfigError, match="Strata were given for a simple random sample"):
        assess(map_path, points, sampling="simple", strata=map_path)
    for options in ({"sampling": "stratified"}, {"strata": tmp_path / "none.tif"}):
        with pytest.raises(ConfigError, match="given for a reference raster"):
            assess(map_path, map_path, **options)


def test_points_without_a_class_are_told(map_path: Path, truth: np.ndarray, tmp_path: Path) -> None:
    points = dataclasses.replace(_points(truth, 100), dropped={"without class": 30})
    assert any("30 without class" in line for line in assess(map_path, points).warnings)


def test_rasters_apart_are_refused(map_path: Path, truth: np.ndarray, tmp_path: Path) -> None:
    far = Grid(GRID.crs, Affine.translation(1e5, 0) @ GRID.transform, 60, 80)
    reference = write_class_map(tmp_path / "far.tif", truth, far, LEGEND)
    with pytest.raises(RasterError, match="have no classified pixel in common"):
        assess(map_path, reference)


def test_map_of_nodata_is_refused(tmp_path: Path, truth: np.ndarray) -> None:
    nothing = np.zeros(GRID.shape, dtype=bool)
    path = write_class_map(tmp_path / "m.tif", truth, GRID, LEGEND, valid=nothing)
    with pytest.raises(RasterError, match="holds nothing but nodata"):
        assess(path, _points(truth, 10))


def test_missing_reference_is_named(map_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"'nowhere\.gpkg' does not exist"):
        assess(map_path, "nowhere.gpkg")


def test_assessment_can_be_cancelled(map_path: Path, truth: np.ndarray) -> None:
    reporter = Reporter()
    reporter.cancel()
    with pytest.raises(Cancelled):
        assess(map_path, _points(truth, 50), reporter=reporter)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (513, 512)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_odd_sizes_and_types_are_counted(
    tmp_path: Path, shape: tuple[int, int], dtype: str
) -> None:
    rng = np.random.default_rng(0)
    codes = rng.choice([0, 20, 30], shape).astype(dtype)
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 10, 0, -0.001, 50), *shape)
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", crs=grid.crs, transform=grid.transform, height=shape[0],
        width=shape[1], count=1, dtype=dtype,
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    row, col = np.unravel_index(np.arange(min(codes.size, 50)), shape)
    x, y = grid.pixel_to_world(row + 0.5, col + 0.5)
    x, y = np.repeat(x, 2), np.repeat(y, 2)
    index = LEGEND.encode(np.repeat(codes[row, col].astype(int), 2))
    assessed = assess(path, Points.from_arrays(x, y, index, LEGEND, grid.crs))
    assert assessed.overall_accuracy == 1.0
    from geopointseg.raster.pixel_area import PixelAreas

    total = sum(area.mapped_ha for area in assessed.class_areas.values())
    assert total == pytest.approx(PixelAreas.of(grid).by_row.sum() * shape[1] / 1e4)


@pytest.mark.parametrize(
    ("crs", "transform", "basis", "text"),
    [
        ("EPSG:32633", GRID.transform, "planar", "planar, in the plane of EPSG:32633, which distorts"),
        ("EPSG:3857", Affine(20, 0, 2226389, 0, -20, 10500000), "geodesic", "geodesic, on the ellipsoid of EPSG:3857"),
        ("EPSG:4326", Affine(0.0002, 0, 20, 0, -0.0002, 68), "geodesic", "whose unit is an angle"),
        ('LOCAL_CS["site grid",UNIT["metre",1]]', GRID.transform, "planar", "has no ellipsoid or is used outside its zone"),
    ],
)  # fmt: skip
def test_the_report_says_how_areas_were_measured(
    tmp_path: Path, truth: np.ndarray, crs: str, transform: Affine, basis: str, text: str
) -> None:
    grid = Grid(CRS.from_user_input(crs), transform, 60, 80)
    path = write_class_map(tmp_path / "map.tif", _wrong(truth, 0.3), grid, LEGEND)
    found = assess(path, _points(truth, 300, grid=grid))
    assert found.to_json()["areas"] == basis
    assert any(text in line for line in found.sentences())
    total = sum(area.mapped_ha for area in found.class_areas.values())
    assert total == pytest.approx(60 * 80 * grid.resolution_m**2 / 1e4, rel=2e-3)


def test_names_that_do_not_match_are_refused_before_the_map_is_read(
    map_path: Path, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = Legend.from_names(["a", "b", "c"], codes=[7, 8, 9])
    monkeypatch.setattr(
        "geopointseg.assessment.accuracy.take_inventory", lambda *_: pytest.fail("read the map")
    )
    with pytest.raises(LegendError):
        assess(map_path, _points(truth, 30, legend=strange))


def test_a_reference_of_other_ground_is_refused(
    map_path: Path, tmp_path: Path, truth: np.ndarray
) -> None:
    site = Grid(CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1]]'), GRID.transform, 60, 80)
    other = write_class_map(tmp_path / "other.tif", truth, site, LEGEND)
    with pytest.raises(RasterError, match="tied to no body, as a site grid is"):
        assess(map_path, other)
    with pytest.raises(RasterError, match="tied to no body, as a site grid is"):
        assess(map_path, _points(truth, 30, grid=site))
