"""Statistics: against numpy on whole arrays, for every type, over several scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geopointseg.errors import RasterError
from geopointseg.progress import Reporter
from geopointseg.radiometry import band_statistics as module
from geopointseg.radiometry.band_statistics import (
    SceneStatistics,
    compute_statistics,
    find_undeclared_nodata,
    merge_statistics,
    statistics_of_array,
)
from geopointseg.radiometry.distribution import TOLERANCE
from geopointseg.raster.scene import Scene

SHARES = np.array([0.0, 0.01, 0.25, 0.5, 0.9, 0.999, 1.0])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOPOINTSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, image: np.ndarray, pixel: float = 10, **options: Any) -> Scene:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(image),
        height=image.shape[1],
        width=image.shape[2],
        dtype=image.dtype,
        crs="EPSG:32633",
        transform=Affine(pixel, 0, 500000, 0, -pixel, 5700000),
        photometric="MINISBLACK",
        **options,
    ) as target:
        target.write(image)
    return Scene.open(path)


def check(statistics: SceneStatistics, pixels: np.ndarray, tolerance: float) -> None:
    """Compare with numpy's own numbers of ``(band, pixel)``."""
    for band, values in zip(statistics.bands, pixels.astype(np.float64), strict=True):
        assert band.count == values.size
        assert band.mean == pytest.approx(values.mean(), rel=1e-6, abs=1e-9)
        assert band.std == pytest.approx(values.std(), rel=1e-5, abs=1e-6)
        assert (band.minimum, band.maximum) == pytest.approx((values.min(), values.max()), rel=1e-6)
        np.testing.assert_allclose(
            band.quantile(SHARES), np.quantile(values, SHARES), rtol=tolerance, atol=1e-9
        )


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_small_integers_are_counted_exactly(tmp_path: Path, dtype: str):
    info = np.iinfo(dtype)
    generator = np.random.default_rng(1)
    image = generator.integers(info.min, info.max, (3, 90, 111), dtype, endpoint=True)
    image[:, :, 0] = 7
    scene = write(tmp_path / "i.tif", image, nodata=7, tiled=True, blockxsize=32, blockysize=32)
    check(compute_statistics(scene), image[:, ~(image == 7).any(axis=0)], 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint32"])
def test_other_types_are_counted_to_the_tolerance(tmp_path: Path, dtype: str):
    values = np.random.default_rng(2).normal(300, 4000, (2, 80, 90))
    image = np.abs(values).astype(dtype) if dtype == "uint32" else values.astype(dtype)
    check(compute_statistics(write(tmp_path / "f.tif", image)), image.reshape(2, -1), TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.integers(1, 200),
        elements=st.floats(-(2.0**90), 2.0**90, width=32).filter(
            lambda v: v == 0 or abs(v) > 1e-10
        ),
    )
)
def test_any_floats(values: np.ndarray):
    band = statistics_of_array(values[None]).bands[0]
    exact = np.quantile(values.astype(np.float64), SHARES, method="lower")
    span = TOLERANCE * np.abs(exact)
    found = np.array(
        [band.quantile(s) for s in np.floor(SHARES * (len(values) - 1)) / max(len(values) - 1, 1)]
    )
    assert (np.abs(found - exact) <= span + 1e-9).all()
    assert (np.diff(band.values) > 0).all()


def test_an_outlier_costs_no_precision():
    values = np.append(np.random.default_rng(0).normal(0.2, 0.01, 9999), 1e30).astype(np.float32)
    band = statistics_of_array(values[None]).bands[0]
    assert band.quantile(0.5) == pytest.approx(np.median(values), rel=TOLERANCE)


def test_scale_and_offset(tmp_path: Path):
    image = np.random.default_rng(0).integers(1, 10000, (1, 50, 60), np.uint16)
    scene = write(tmp_path / "s.tif", image)
    with rasterio.open(scene.path, "r+") as target:
        target.scales, target.offsets = (-0.0001,), (0.5,)
    statistics = compute_statistics(Scene.open(scene.path))
    check(statistics, image.reshape(1, -1) * -0.0001 + 0.5, 1e-9)
    assert statistics.dtype == "float32"


def test_selected_bands_are_in_their_order(tmp_path: Path):
    image = np.arange(3, dtype=np.uint8).reshape(3, 1, 1) * np.ones((1, 9, 9), np.uint8)
    scene = write(tmp_path / "b.tif", image).select_bands([3, 1])
    assert [b.mean for b in compute_statistics(scene).bands] == [2, 0]


def test_scenes_merge_into_one(tmp_path: Path):
    generator = np.random.default_rng(3)
    images = [generator.integers(0, 255, (2, 30, n), np.uint8) for n in (20, 50, 70)]
    scenes = [write(tmp_path / f"{k}.tif", image) for k, image in enumerate(images)]
    merged = compute_statistics(scenes)
    check(merged, np.concatenate([i.reshape(2, -1) for i in images], axis=1), 1e-12)
    assert merged.dtype == "uint8"
    assert merged.sample.shape[1] == 2


def test_area_weighting_lets_equal_ground_count_equally(tmp_path: Path):
    fine = write(tmp_path / "fine.tif", np.full((1, 40, 40), 10, np.uint8), pixel=1)
    coarse = write(tmp_path / "coarse.tif", np.full((1, 4, 4), 30, np.uint8), pixel=10)
    assert compute_statistics([fine, coarse], weighting="area").bands[0].mean == pytest.approx(20)
    by_pixel = compute_statistics([fine, coarse]).bands[0]
    assert by_pixel.mean == pytest.approx((1600 * 10 + 16 * 30) / 1616)


def test_json_keeps_the_quantiles(tmp_path: Path):
    image = np.random.default_rng(5).gamma(2, 800, (2, 200, 200)).astype(np.float32)
    statistics = statistics_of_array(image, source="a")
    back = SceneStatistics.from_json(json.loads(json.dumps(statistics.to_json())))
    for old, new in zip(statistics.bands, back.bands, strict=True):
        assert (old.name, old.count, old.mean, old.std) == (new.name, new.count, new.mean, new.std)
        span = old.quantile(0.99) - old.quantile(0.01)
        inner = np.linspace(0.01, 0.99, 50)
        np.testing.assert_allclose(new.quantile(inner), old.quantile(inner), atol=0.01 * span)
    assert len(json.dumps(statistics.to_json())) < 200_000


def test_the_cache_is_used_until_the_file_changes(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    scene = write(tmp_path / "c.tif", np.full((1, 8, 8), 3, np.uint8))
    first = compute_statistics(scene)
    assert len(list((own_cache / "statistics").iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(module, "_scan", lambda *_: pytest.fail("read again"))
        again = compute_statistics(Scene.open(scene.path))
    assert again.bands[0].mean == first.bands[0].mean
    np.testing.assert_array_equal(again.sample, first.sample)
    write(tmp_path / "c.tif", np.full((1, 9, 9), 5, np.uint8))
    from geopointseg.raster.scene import HANDLES

    HANDLES.close()
    assert compute_statistics(Scene.open(scene.path)).bands[0].mean == 5


def test_a_broken_cache_is_computed_again(tmp_path: Path, own_cache: Path):
    scene = write(tmp_path / "c.tif", np.full((1, 8, 8), 3, np.uint8))
    compute_statistics(scene)
    for file in (own_cache / "statistics").iterdir():
        file.write_bytes(b"broken")
    assert compute_statistics(scene).bands[0].mean == 3


def test_all_nodata_is_refused(tmp_path: Path):
    scene = write(tmp_path / "empty.tif", np.zeros((2, 8, 8), np.uint8), nodata=0)
    with pytest.raises(
        RasterError, match=r"empty.tif holds no image: every pixel is nodata.*nodata value"
    ):
        compute_statistics(scene)


def test_different_band_counts_are_refused(tmp_path: Path):
    a = write(tmp_path / "a.tif", np.ones((2, 8, 8), np.uint8))
    b = write(tmp_path / "b.tif", np.ones((3, 8, 8), np.uint8))
    with pytest.raises(RasterError, match=r"'b.tif' has 3 bands and 'a.tif' 2"):
        compute_statistics([a, b])


def test_undeclared_nodata_is_named(tmp_path: Path):
    image = np.random.default_rng(0).integers(300, 3000, (2, 60, 60), np.int16)
    image[1, :3] = -9999
    scene = write(tmp_path / "u.tif", image)
    with pytest.warns(
        UserWarning, match=r"u.tif: 5.0% of band 'band_2' have the value -9999.*-a_nodata -9999"
    ):
        statistics = compute_statistics(scene)
    assert [s.band for s in find_undeclared_nodata(statistics)] == ["band_2"]
    assert not find_undeclared_nodata(compute_statistics(scene.with_nodata(-9999)))


def test_a_black_border_is_named():
    image = np.random.default_rng(0).integers(1, 200, (3, 60, 60), np.uint8)
    image[:, :20] = 0
    assert {s.value for s in find_undeclared_nodata(statistics_of_array(image))} == {0}
    image = np.random.default_rng(0).integers(0, 2, (3, 60, 60), np.uint8)
    assert not find_undeclared_nodata(statistics_of_array(image))


def test_the_real_fill_value_is_found_and_only_it(real_data: Path):
    folder = real_data / "landsat7_two_dates"
    bands = list(range(1, 8))
    first = compute_statistics(Scene.open(folder / "LE70220491999322EDC01_stack.gtif", bands))
    second = compute_statistics(
        Scene.open(folder / "LE70220492002106EDC00_stack.gtif", bands), reporter=_quiet()
    )
    assert not find_undeclared_nodata(first)
    assert {s.value for s in find_undeclared_nodata(second)} == {16000}


def test_progress_ends_whole(tmp_path: Path):
    fractions = []

    class Sink:
        def emit(self, event: Any) -> None:
            fractions.append(event.fraction)

        def close(self) -> None: ...

    scene = write(tmp_path / "p.tif", np.ones((1, 8, 8), np.uint8))
    compute_statistics([scene, scene], reporter=Reporter(Sink()))
    assert fractions[-1] == 1.0


def test_merging_one_changes_nothing():
    statistics = statistics_of_array(np.arange(12, dtype=np.uint8).reshape(1, 3, 4))
    assert merge_statistics([statistics]) is statistics


def _quiet() -> Reporter:
    class Sink:
        def emit(self, event: Any) -> None: ...
        def close(self) -> None: ...

    return Reporter(Sink())
