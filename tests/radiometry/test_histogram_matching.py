"""Matching rasters on disk: any type, any size, nodata safe, and restricted to what did not change."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from scipy.ndimage import gaussian_filter
from skimage.exposure import match_histograms

from geopointseg.errors import Cancelled, InputFileError, OutputError, RasterError
from geopointseg.progress import Event, Reporter
from geopointseg.radiometry.band_statistics import compute_statistics
from geopointseg.radiometry.histogram_matching import match_raster
from geopointseg.radiometry.invariant_pixels import Thumbnail, find_invariant, unchanged_pixels
from geopointseg.radiometry.picture_style import PictureStyle
from geopointseg.raster.curve import look_up, table_index
from geopointseg.raster.prefetch import map_ahead
from geopointseg.raster.scene import Scene


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOPOINTSEG_CACHE", str(tmp_path / "cache"))


def write(
    path: Path,
    image: np.ndarray,
    *,
    left: float = 500000,
    names: tuple[str, ...] = (),
    **options: Any,
) -> Path:
    profile = {"crs": "EPSG:32633", "photometric": "MINISBLACK"} | options
    with rasterio.open(
        path, "w", driver="GTiff", count=len(image), height=image.shape[1], width=image.shape[2],
        dtype=image.dtype, transform=Affine(10, 0, left, 0, -10, 5700000), **profile,
    ) as target:  # fmt: skip
        target.write(image)
        if names:
            target.descriptions = names
    return path


def ground(seed: int = 0, height: int = 130, width: int = 150) -> np.ndarray:
    """Three smooth, partly related bands of uint8."""
    generator = np.random.default_rng(seed)
    common = gaussian_filter(generator.normal(size=(height, width)), 6)
    own = gaussian_filter(generator.normal(size=(3, height, width)), (0, 3, 3))
    values = 110 + 260 * common / common.std() * 0.08 + 120 * own / own.std() * 0.06
    noisy = values + generator.normal(0, 2, values.shape)
    return np.clip(noisy, 1, 254).astype(np.uint8)


def veil(image: np.ndarray) -> np.ndarray:
    gain = np.array([0.6, 0.7, 0.8]).reshape(3, 1, 1)
    return np.clip(image * gain + 40, 1, 254).astype(image.dtype)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_bands_without_names_are_matched_by_their_colours(tmp_path: Path) -> None:
    image = ground() // np.array([[[1]], [[2]], [[4]]], np.uint8) + np.uint8(1)
    scene = write(tmp_path / "rgb.tif", image, photometric="RGB")
    reference = write(tmp_path / "bgr.tif", image[::-1])
    with rasterio.open(reference, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    match_raster(scene, reference, tmp_path / "out.tif")
    assert np.abs(read(tmp_path / "out.tif").astype(int) - image).max() <= 1


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 32, "blockysize": 48}])
@pytest.mark.parametrize("compress", [None, "deflate"])
def test_the_file_equals_scikit_image_within_a_level(
    tmp_path: Path, layout: dict[str, Any], compress: str | None
):
    source, reference = veil(ground(1)), ground(2)
    options = layout | ({"compress": compress} if compress else {})
    raster = write(tmp_path / "s.tif", source, **options)
    match_raster(raster, write(tmp_path / "r.tif", reference), tmp_path / "out.tif")
    expected = match_histograms(source, reference, channel_axis=0).astype(int)
    assert np.abs(read(tmp_path / "out.tif") - expected).max() <= 1


def test_grid_names_and_layout_are_kept(tmp_path: Path):
    raster = write(
        tmp_path / "s.tif",
        veil(ground(1)),
        names=("red", "green", "nir"),
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="lzw",
    )
    done = match_raster(
        raster,
        write(tmp_path / "r.tif", ground(2)[[2, 0, 1]], names=("nir", "red", "green")),
        tmp_path / "o.tif",
    )
    with rasterio.open(raster) as before, rasterio.open(tmp_path / "o.tif") as after:
        assert (before.transform, before.crs, before.shape) == (
            after.transform,
            after.crs,
            after.shape,
        )
        assert after.descriptions == ("red", "green", "nir")
        assert after.block_shapes == before.block_shapes
        assert after.compression == before.compression
    wanted = ground(2).reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose([b.mean for b in done.after.bands], wanted, atol=1)


def test_nodata_survives_and_no_valid_pixel_takes_its_value(tmp_path: Path):
    source = veil(ground(1))
    source[1, 10:20, 10:30] = 0
    reference = ground(2)
    reference[:, ::2] = np.maximum(
        reference[:, ::2] // 16, 1
    )  # half of the reference is nearly zero
    raster = write(tmp_path / "s.tif", source, nodata=0)
    match_raster(raster, write(tmp_path / "r.tif", reference), tmp_path / "o.tif")
    out = Scene.open(tmp_path / "o.tif")
    np.testing.assert_array_equal(out.read().valid, source[1] != 0)
    assert (read(tmp_path / "o.tif")[:, source[1] == 0] == 0).all()


def test_alpha_becomes_nodata(tmp_path: Path):
    source = np.concatenate([veil(ground(1)), np.full((1, 130, 150), 255, np.uint8)])
    source[3, :30] = 0
    raster = write(tmp_path / "s.tif", source, photometric="RGB", alpha="YES")
    match_raster(raster, write(tmp_path / "r.tif", ground(2)), tmp_path / "o.tif")
    np.testing.assert_array_equal(Scene.open(tmp_path / "o.tif").read().valid, source[3] > 0)


@pytest.mark.parametrize(
    ("source_type", "reference_type"),
    [
        ("uint8", "uint16"),
        ("uint16", "uint8"),
        ("float32", "uint8"),
        ("int16", "float32"),
        ("uint8", "float64"),
    ],
)
def test_the_output_takes_the_type_of_the_reference(
    tmp_path: Path, source_type: str, reference_type: str
):
    factor = {"uint8": 1, "uint16": 40, "int16": 30, "float32": 0.01, "float64": 0.002}
    source = (veil(ground(1)).astype(float) * factor[source_type]).astype(source_type)
    reference = (ground(2).astype(float) * factor[reference_type]).astype(reference_type)
    done = match_raster(
        write(tmp_path / "s.tif", source),
        write(tmp_path / "r.tif", reference),
        tmp_path / "o.tif",
        method="midpoint",
    )
    out = read(tmp_path / "o.tif")
    assert out.dtype == reference.dtype
    spread = reference.std(axis=(1, 2))
    np.testing.assert_allclose(
        out.mean(axis=(1, 2)), reference.mean(axis=(1, 2)), atol=0.02 * spread.max()
    )
    np.testing.assert_allclose(
        [b.mean for b in done.after.bands], out.mean(axis=(1, 2)), atol=0.02 * spread.max()
    )


def test_scaled_references_are_met_in_physical_units(tmp_path: Path):
    reference = write(tmp_path / "r.tif", ground(2).astype(np.uint16) * 30)
    with rasterio.open(reference, "r+") as target:
        target.scales, target.offsets = (0.0001,) * 3, (-0.1,) * 3
    match_raster(
        write(tmp_path / "s.tif", veil(ground(1))), reference, tmp_path / "o.tif", method="midpoint"
    )
    out = Scene.open(tmp_path / "o.tif")
    assert out.bands[0].scale == 0.0001
    np.testing.assert_allclose(
        out.read().image.mean(axis=(1, 2)),
        Scene.open(reference).read().image.mean(axis=(1, 2)),
        atol=1e-3,
    )


def test_a_reference_of_small_numbers_makes_floats(tmp_path: Path):
    reflectance = ground(2).astype(np.float32) / 255
    style = PictureStyle(
        "histogram", compute_statistics(Scene.open(write(tmp_path / "r.tif", reflectance)))
    )
    match_raster(write(tmp_path / "s.tif", veil(ground(1))), style, tmp_path / "o.tif")
    assert read(tmp_path / "o.tif").dtype == np.float32


def test_a_set_of_references_and_a_model_folder(tmp_path: Path):
    raster = write(tmp_path / "s.tif", veil(ground(1)))
    several = [write(tmp_path / f"r{k}.tif", ground(k)) for k in (2, 3)]
    one = match_raster(raster, several, tmp_path / "a.tif")
    model = tmp_path / "model"
    model.mkdir()
    style = PictureStyle.of([Scene.open(path) for path in several]).to_json()
    (model / "model.json").write_text(json.dumps({"metadata": {"style": style}}))
    two = match_raster(raster, model, tmp_path / "b.tif")
    assert np.abs(read(tmp_path / "a.tif").astype(int) - read(tmp_path / "b.tif")).max() <= 1
    assert one.reference is not None
    assert two.reference is not None
    assert one.reference.count == two.reference.count == 2 * 130 * 150
    (model / "model.json").write_text("{}")
    with pytest.raises(
        InputFileError, match=r"keeps no picture style.*name one of its training scenes"
    ):
        match_raster(raster, model, tmp_path / "c.tif")


def test_equalize_without_a_reference(tmp_path: Path):
    match_raster(
        write(tmp_path / "s.tif", veil(ground(1))), [], tmp_path / "o.tif", method="equalize"
    )
    out = read(tmp_path / "o.tif")
    assert out.min() == 0
    assert out.max() == 255


def test_the_result_as_table_and_json(tmp_path: Path):
    done = match_raster(
        write(tmp_path / "s.tif", veil(ground(1))),
        write(tmp_path / "r.tif", ground(2)),
        tmp_path / "o.tif",
    )
    ((title, headings, rows),) = done.tables()
    assert "histogram" in title
    assert len(rows) == 3
    assert len(rows[0]) == len(headings)
    shown = json.loads(json.dumps(done.to_json()))
    assert shown["bands"][0]["after"]["mean"] == pytest.approx(
        shown["bands"][0]["reference"]["mean"], abs=1
    )
    assert 0 <= shown["mixture_difference"] <= 1


def test_bad_input(tmp_path: Path):
    raster = write(tmp_path / "s.tif", veil(ground(1)))
    write(tmp_path / "r.tif", ground(2))
    with pytest.raises(RasterError, match=r"'s.tif' has 3 bands|s.tif has 3 bands"):
        match_raster(raster, write(tmp_path / "two.tif", ground(2)[:2]), tmp_path / "o.tif")
    with pytest.raises(
        OutputError, match=r"does not exist. Outputs are written into existing folders"
    ):
        match_raster(raster, tmp_path / "r.tif", tmp_path / "gone" / "o.tif")
    assert not (tmp_path / "o.tif").exists()


def test_files_that_are_read_are_spared(tmp_path: Path):
    raster = write(tmp_path / "s.tif", veil(ground(1)))
    reference = write(tmp_path / "r.tif", ground(2))
    before = {path: path.read_bytes() for path in (raster, reference)}
    for name in ("v", "of_v"):
        source = raster if name == "v" else tmp_path / "v.vrt"
        xml = build_vrt(Scene.open(raster), source)
        (tmp_path / f"{name}.vrt").write_text(xml, encoding="utf-8")
    (tmp_path / "link.tif").symlink_to(reference)
    for read, output in (
        (raster, raster),
        (raster, reference),
        (raster, tmp_path / "link.tif"),
        (tmp_path / "v.vrt", raster),
        (tmp_path / "of_v.vrt", raster),
    ):
        with pytest.raises(OutputError, match=r"is also a file that is read. Expected another"):
            match_raster(read, reference, output)
    assert {path: path.read_bytes() for path in before} == before


def build_vrt(scene: Scene, source: Path) -> str:
    """Return a virtual raster of the three bands of a file."""
    transform = ",".join(map(str, scene.grid.transform.to_gdal()))
    size = f'rasterXSize="{scene.grid.width}" rasterYSize="{scene.grid.height}"'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename>{source}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    head = f"<SRS>EPSG:32633</SRS><GeoTransform>{transform}</GeoTransform>"
    return f"<VRTDataset {size}>{head}{bands}</VRTDataset>"


def test_a_cancelled_run_leaves_nothing(tmp_path: Path):
    class CancelWhenMatching:
        def emit(self, event: Event) -> None:
            if event.stage == "match":
                reporter.cancel()

        def close(self) -> None: ...

    reporter = Reporter(CancelWhenMatching())
    raster, reference = (
        write(tmp_path / "s.tif", veil(ground(1))),
        write(tmp_path / "r.tif", ground(2)),
    )
    with pytest.raises(Cancelled):
        match_raster(raster, reference, tmp_path / "o.tif", reporter=reporter)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["r.tif", "s.tif"]


# --- pseudo-invariant pixels -----------------------------------------------------------------------------------


def changed_pair(tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """A scene, and the same area later: another light, and a third of it flooded."""
    before = ground(5)
    after = veil(before)
    flooded = np.zeros(before.shape[1:], bool)
    flooded[:, :50] = True
    after[:, flooded] = np.random.default_rng(0).integers(5, 25, (3, flooded.sum()), np.uint8)
    return write(tmp_path / "after.tif", after), write(tmp_path / "before.tif", before), flooded


def test_unchanged_pixels_are_found(tmp_path: Path):
    after, before, flooded = changed_pair(tmp_path)
    x, y = (gaussian_filter(read(p).astype(np.float32), (0, 1, 1)) for p in (after, before))
    kept = unchanged_pixels(x.reshape(3, -1), y.reshape(3, -1))
    assert kept[flooded.ravel()].mean() < 0.15
    assert kept[~flooded.ravel()].mean() > 0.9


def test_a_style_remembers_its_ground(tmp_path: Path):
    after, before, flooded = changed_pair(tmp_path)
    style = PictureStyle.of([Scene.open(before)], "invariant")
    stored = json.loads(json.dumps(style.to_json()))
    before.unlink()
    matched = PictureStyle.from_json(stored).apply(Scene.open(after)).read().image
    truth = ground(5).astype(float)
    assert np.abs(matched - truth)[:, ~flooded].mean() < 2.5
    elsewhere = Scene.open(write(tmp_path / "far.tif", veil(ground(7)), left=900000))
    collect = []

    class Sink:
        def emit(self, event: Event) -> None:
            collect.append(event.message)

        def close(self) -> None: ...

    there = PictureStyle.from_json(stored).fit(elsewhere, reporter=Reporter(Sink()))
    assert there.method == "percentile"
    assert any("shares too few unchanged pixels" in message for message in collect)


def test_a_thumbnail_survives_json(tmp_path: Path):
    image = ground(3)
    image[:, :30] = 0
    thumbnail = Thumbnail.of(Scene.open(write(tmp_path / "t.tif", image, nodata=0)), 2000)
    assert thumbnail.image.shape[1] * thumbnail.image.shape[2] <= 2200
    back = Thumbnail.from_json(json.loads(json.dumps(thumbnail.to_json())))
    np.testing.assert_array_equal(back.valid, thumbnail.valid)
    np.testing.assert_allclose(back.image, thumbnail.image, atol=0.01)
    assert back.grid == thumbnail.grid


def test_matching_to_unchanged_pixels_is_not_bent_by_change(tmp_path: Path):
    after, before, flooded = changed_pair(tmp_path)
    match_raster(after, before, tmp_path / "i.tif", invariant=True)
    match_raster(after, before, tmp_path / "h.tif", reporter=_quiet())
    truth = read(before).astype(float)[:, ~flooded]
    with_invariant = np.abs(read(tmp_path / "i.tif")[:, ~flooded] - truth).mean()
    without = np.abs(read(tmp_path / "h.tif")[:, ~flooded] - truth).mean()
    assert with_invariant < 2
    assert without > 4 * with_invariant


def test_shared_ground_is_found_over_crs_and_resolution(tmp_path: Path):
    image = np.kron(ground(6, 60, 70), np.ones((1, 2, 2), np.uint8))
    fine = Scene.open(write(tmp_path / "fine.tif", image))
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    transform, width, height = calculate_default_transform(
        "EPSG:32633", "EPSG:3035", 140, 120, *fine.grid.bounds, resolution=20
    )
    moved = np.zeros((3, height, width), np.uint8)
    reproject(
        image,
        moved,
        src_transform=fine.grid.transform,
        src_crs="EPSG:32633",
        dst_transform=transform,
        dst_crs="EPSG:3035",
        resampling=Resampling.average,
    )
    path = write(tmp_path / "coarse.tif", moved, nodata=0, crs="EPSG:3035")
    with rasterio.open(path, "r+") as target:
        target.transform = transform
    pair = find_invariant(fine, [Thumbnail.of(Scene.open(path), 10_000)])
    assert pair is not None
    assert pair.pixels > 500
    assert pair.share > 0.8
    for a, b in zip(pair.source.bands, pair.reference.bands, strict=True):
        assert a.mean == pytest.approx(b.mean, abs=2)


def test_no_shared_ground(tmp_path: Path):
    a = write(tmp_path / "a.tif", ground(1))
    far = write(tmp_path / "far.tif", ground(2), left=900000)
    with pytest.raises(RasterError, match=r"share too few unchanged pixels. Expected 500"):
        match_raster(a, far, tmp_path / "o.tif", invariant=True)
    with pytest.raises(
        RasterError, match=r"2 references were given. Unchanged pixels are found between two"
    ):
        match_raster(a, [far, a], tmp_path / "o.tif", invariant=True)


# --- speed that must stay correct ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("size", [0, 1, 7, 70_001, 140_003])
def test_looking_up_in_pieces_is_looking_up(dtype: str, size: int):
    info = np.iinfo(dtype)
    generator = np.random.default_rng(size)
    stored = generator.integers(info.min, info.max, size, dtype, endpoint=True)
    for kind in ("uint8", "int8", "float32"):
        table = generator.integers(0, 100, info.max - info.min + 1).astype(kind)
        np.testing.assert_array_equal(look_up(table, stored), table[table_index(stored)])


def test_results_come_in_order_and_few_ahead():
    running, most, lock = 0, 0, threading.Lock()

    def work(k: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return k

    assert list(map_ahead(work, range(50), threads=3)) == list(range(50))
    assert most <= 3
    started = []
    stream = map_ahead(started.append, range(1000), threads=2)
    next(stream)
    assert len(started) <= 4
    stream.close()


def test_an_error_in_a_thread_comes_out():
    def fail(k: int) -> int:
        if k == 3:
            raise InputFileError("broken at 3")
        return k

    with pytest.raises(InputFileError, match="broken at 3"):
        list(map_ahead(fail, range(9), threads=2))


def _quiet() -> Reporter:
    class Sink:
        def emit(self, event: Any) -> None: ...
        def close(self) -> None: ...

    return Reporter(Sink())
