"""Embeddings as scenes: every layout to the digit, and one sentence for each that cannot be read."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.bands.opening import open_scenes
from geopointseg.errors import ConfigError, InputFileError, MissingDependencyError, RasterError
from geopointseg.lab.synthetic_embedding import (
    SyntheticEmbedding,
    encode_alpha_earth,
    encode_tessera,
    make_embedding,
    write_alpha_earth,
    write_bands,
    write_decoded,
    write_quantized,
    write_tessera,
    write_tessera_geotiff,
    write_zarr,
)
from geopointseg.prediction.mosaic import Mosaic
from geopointseg.progress import Event, Reporter
from geopointseg.radiometry.band_statistics import compute_statistics
from geopointseg.raster.decoding import Embedding
from geopointseg.raster.grid import Grid
from geopointseg.raster.scene import Scene
from geopointseg.raster.warp import projected_grid, scaled_grid, warped

CODES = [-128, -127, -64, -1, 0, 1, 10, 64, 100, 127]
BY_HAND = [
    np.nan,
    -0.99217,
    -0.25197,
    -0.0000615,
    0,
    0.0000615,
    0.0061515,
    0.25197,
    0.61515,
    0.99217,
]
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 4e5, 0, -10, 5.6e6), 2, 5)
NAMES = [f"A{k:02d}" for k in range(64)]


class Told:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: str) -> str:
        return " ".join(event.message for event in self.events if event.kind == kind)


@pytest.fixture(scope="module")
def alpha() -> SyntheticEmbedding:
    return make_embedding(60, 70, seed=2)


@pytest.fixture(scope="module")
def tessera() -> SyntheticEmbedding:
    return make_embedding(60, 70, dimensions=128, seed=2)


def test_alpha_earth_codes_decode_to_the_digit(tmp_path: Path) -> None:
    codes = np.zeros((64, *GRID.shape), np.int8)
    codes[:] = np.reshape(CODES, GRID.shape)
    path = write_bands(tmp_path / "aef.tif", codes, GRID, NAMES)  # nodata is not declared
    chip = open_scenes([path])[0].read()
    exact = [float(np.sign(v) * Fraction(2 * abs(v), 255) ** 2) for v in CODES]
    assert chip.valid.ravel().tolist() == [v != -128 for v in CODES]
    for plane in chip.image.reshape(64, -1):
        np.testing.assert_array_equal(plane[1:], np.float32(exact[1:]))
        np.testing.assert_allclose(plane[1:], BY_HAND[1:], atol=6e-6)
    assert chip.image[:, 0, 0].tolist() == [0] * 64


def _known(embedding: SyntheticEmbedding) -> tuple[np.ndarray, np.ndarray]:
    codes, scales = encode_tessera(embedding)
    return (codes * scales[..., None]).transpose(2, 0, 1), ~np.isnan(scales)


def _write_codes(embedding: SyntheticEmbedding, folder: Path) -> Path:
    codes, scales = encode_tessera(embedding)
    write_bands(folder / "v1.1_2024_scales.tif", scales[None], embedding.grid, [])
    return write_bands(folder / "v1.1_2024.tif", codes.transpose(2, 0, 1), embedding.grid, [])


LAYOUTS: dict[str, Callable[[SyntheticEmbedding, Path], Path]] = {
    "grid": write_tessera,
    "folder of a grid": lambda e, f: write_tessera(e, f) and f,
    "channels first": lambda e, f: write_tessera(e, f, channel_first=True),
    "GeoTIFF": lambda e, f: write_tessera_geotiff(e, f / "tessera_2024_utm33.tif"),
    "codes as GeoTIFF": _write_codes,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tessera_is_its_codes_times_their_scales_and_nodata_where_the_scale_is_nan(
    layout: str, tessera: SyntheticEmbedding, tmp_path: Path
) -> None:
    [scene] = open_scenes([LAYOUTS[layout](tessera, tmp_path)])
    known, valid = _known(tessera)
    chip = scene.read()
    np.testing.assert_array_equal(chip.valid, valid)
    np.testing.assert_allclose(chip.image[:, valid], known[:, valid], rtol=1e-6)
    assert (scene.embedding, chip.undeclared_nan) == (Embedding("TESSERA", "1.1", "2024"), 0)
    assert scene.grid == tessera.grid
    window = Window(-3, 50, 20, 20)
    part = scene.read(window)
    np.testing.assert_array_equal(part.image[:, :10, 3:], chip.image[:, 50:, :17])
    assert not part.valid[10:].any()
    assert scene.read_overview(30).image.shape == (128, 26, 30)


@pytest.mark.parametrize("dimensions", [4, 16, 128])
def test_prefixes_and_scales_of_each_value_of_the_second_version(
    dimensions: int, tmp_path: Path
) -> None:
    embedding = make_embedding(40, 50, dimensions=dimensions, seed=1)
    path = write_tessera(embedding, tmp_path, version="2", per_value=True, channel_first=True)
    [scene] = open_scenes([path])
    codes, scales = encode_tessera(embedding, per_value=True)
    chip = scene.read()
    known = (codes * scales).transpose(2, 0, 1)
    np.testing.assert_allclose(chip.image[:, chip.valid], known[:, chip.valid], rtol=1e-6)
    assert len(scene.bands) == dimensions
    assert scene.embedding == Embedding("TESSERA", "2", "2024")
    [first] = open_scenes([path], dimensions=2)
    np.testing.assert_array_equal(first.read().image, chip.image[:2])


def test_zarr_stores_are_read_where_zarr_is_installed(
    tessera: SyntheticEmbedding, tmp_path: Path
) -> None:
    pytest.importorskip("zarr")
    [scene] = open_scenes([write_zarr(tessera, tmp_path / "utm33_2024.zarr")])
    known, valid = _known(tessera)
    chip = scene.read()
    np.testing.assert_array_equal(chip.valid, valid)
    np.testing.assert_allclose(chip.image[:, valid], known[:, valid], rtol=1e-6)
    assert (scene.grid, scene.embedding) == (tessera.grid, Embedding("TESSERA", "1", "2024"))


def test_a_store_without_the_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "x.zarr" / "utm33"
    for name in ("embeddings", "scales"):
        (group / name).mkdir(parents=True)
    told = {"attributes": {"transform": [10, 0, 0, 0, -10, 0], "crs_epsg": 32633}}
    (group / "zarr.json").write_text(json.dumps(told))
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingDependencyError, match="Install it with: pip install zarr"):
        open_scenes([tmp_path / "x.zarr"])
    (group / "zarr.json").write_text("{}")
    with pytest.raises(
        RasterError, match=r"has no georeference\. Expected the attributes 'transform'"
    ):
        open_scenes([tmp_path / "x.zarr"])


def test_a_quantization_table_gives_limits_to_each_dimension(
    alpha: SyntheticEmbedding, tmp_path: Path
) -> None:
    [scene] = open_scenes([write_quantized(alpha, tmp_path / "explorer")])
    limits = json.loads((tmp_path / "explorer" / "quantization.json").read_text())
    image = scene.read().image
    with rasterio.open(tmp_path / "explorer" / "dim_005.tif") as dataset:
        code = dataset.read(1)
    low, high = limits["min"][5], limits["max"][5]
    np.testing.assert_allclose(image[5], low + code * (high - low) / 255, atol=1e-6)
    np.testing.assert_allclose(image.min(axis=(1, 2)), limits["min"], atol=1e-6)
    np.testing.assert_allclose(image.max(axis=(1, 2)), limits["max"], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "crs", "product"),
    [(40, 32633, "OlmoEarth"), (0.25, 4326, "Copernicus-Embed")],
)
def test_768_bands_of_floats_are_taken_as_they_are(
    size: float, crs: int, product: str, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).standard_normal((768, 3, 4)).astype(np.float32)
    grid = Grid(CRS.from_epsg(crs), Affine(size, 0, 10, 0, -size, 20), 3, 4)
    [scene] = open_scenes([write_bands(tmp_path / "e_2023.tif", values, grid, [])])
    np.testing.assert_array_equal(scene.read().image, values)
    assert scene.embedding == Embedding(product, "", "2023")


@pytest.mark.parametrize(
    ("decode", "expected"),
    [
        ("v / 64", lambda v: v / 64),
        ("sign(v) * (v / 127.5) ** 2", lambda v: np.sign(v) * (v / 127.5) ** 2),
        ("table.csv", lambda v: v / 64),
        ("{stem}_s.npy", lambda v: v * 0.5),
        ("{stem}_s.tif", lambda v: v * 0.5),
        ("none", lambda v: v),
    ],
)
def test_settings_tell_what_a_file_does_not(
    decode: str, expected: Callable[[Any], Any], tmp_path: Path
) -> None:
    codes = np.random.default_rng(1).integers(-100, 100, (9, *GRID.shape)).astype(np.int8)
    path = write_bands(tmp_path / "vectors.tif", codes, GRID, [])
    np.savetxt(tmp_path / "table.csv", np.arange(-128, 128) / 64)
    scales = np.full(GRID.shape, 0.5, np.float32)
    np.save(tmp_path / "vectors_s.npy", scales)
    write_bands(tmp_path / "vectors_s.tif", scales[None], GRID, [])
    [scene] = open_scenes([path], decode=decode)
    np.testing.assert_allclose(scene.read().image, expected(codes.astype(np.float64)), rtol=1e-6)
    assert (scene.embedding is None) == (decode == "none")


def test_decoding_comes_before_formulas_statistics_and_resampling(
    alpha: SyntheticEmbedding, tmp_path: Path
) -> None:
    path = write_alpha_earth(alpha, tmp_path / "a.tif")
    [plain] = open_scenes([path])
    [index] = open_scenes([path], bands=["d = a03 - a04", "a05"])
    values = plain.read().image
    np.testing.assert_allclose(index.read().image, [values[3] - values[4], values[5]], atol=1e-7)
    [decoded] = open_scenes([write_decoded(alpha, tmp_path / "d.tif")])
    for other in (scaled_grid(plain.grid, 2), projected_grid(plain.grid, CRS.from_epsg(3857))):
        coarse, known = warped(plain, other).read(), warped(decoded, other).read()
        np.testing.assert_allclose(coarse.image, known.image, atol=1e-6)
        np.testing.assert_array_equal(coarse.valid, known.valid)
    statistics = [compute_statistics(scene) for scene in (plain, decoded)]
    means = [[band.mean for band in one.bands] for one in statistics]
    np.testing.assert_allclose(means[0], means[1], atol=1e-6)
    np.testing.assert_allclose(means[0], values[:, plain.read().valid].mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("write", [write_alpha_earth, write_tessera])
def test_both_doors_give_the_same_vectors(
    write: Callable[..., Path], alpha: SyntheticEmbedding, tmp_path: Path
) -> None:
    path = write(alpha, tmp_path / "a.tif" if write is write_alpha_earth else tmp_path)
    np.testing.assert_array_equal(
        Scene.open(path).read().image, open_scenes([path])[0].read().image
    )


def test_unit_length_and_attribution_are_told(alpha: SyntheticEmbedding, tmp_path: Path) -> None:
    told = Told()
    open_scenes([write_alpha_earth(alpha, tmp_path / "a.tif")], reporter=Reporter(told))
    assert "AlphaEarth 1 2024, 64 dimensions, vectors of unit length (median 1.00" in told.of("log")
    assert (
        "dataset is produced by Google and Google DeepMind. (version 1, 2024, CC-BY 4.0)"
        in told.of("log")
    )
    short = 0.5 * encode_alpha_earth(alpha.vectors, alpha.landscape.valid).clip(-127)
    path = write_bands(tmp_path / "s.tif", short.astype(np.int8), alpha.grid, NAMES)
    open_scenes([path], reporter=Reporter(told))
    assert "have a median length of 0.2" in told.of("warning")


def test_a_zone_border_keeps_vectors_of_the_product(
    alpha: SyntheticEmbedding, tmp_path: Path
) -> None:
    first = write_alpha_earth(alpha, tmp_path / "zone33.tif")
    moved = Grid(CRS.from_epsg(32632), Affine(10, 0, 822_000, 0, -10, 5_662_000), 60, 70)
    codes = encode_alpha_earth(alpha.vectors, alpha.landscape.valid)
    tags = {"year": "2024", "version": "1"}
    second = write_bands(tmp_path / "zone32.tif", codes, moved, NAMES, nodata=-128, tags=tags)
    told = Told()
    scenes = open_scenes([first, second])
    mosaic = Mosaic.of(scenes, Reporter(told))
    chip = mosaic.scenes[1].read()
    assert chip.valid.sum() > 1000
    known = {tuple(v) for v in scenes[1].read().image.reshape(64, -1).T}
    assert {tuple(v) for v in chip.image[:, chip.valid].T} <= known
    assert (
        "by nearest neighbour, because means of vectors are no vectors of the product"
        in told.of("log")
    )


# --- what cannot be read -----------------------------------------------------------------------------------------


def _raw_as_float(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    codes = encode_alpha_earth(e.vectors, e.landscape.valid).astype(np.float32)
    return [write_bands(f / "raw.tif", codes, e.grid, NAMES, nodata=-128)]


def _cut_to_integers(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    return [write_bands(f / "cut.tif", np.rint(e.vectors).astype(np.int8), e.grid, NAMES)]


def _scales_of(shape: tuple[int, ...]) -> Callable[..., list[Path]]:
    def write(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
        path = write_tessera(t, f)
        np.save(path.with_name(f"{path.stem}_scales.npy"), np.ones(shape, np.float32))
        return [path]

    return write


def _patches(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    np.save(f / "patches.npy", np.zeros((50, 768), np.float32))
    return [f / "patches.npy"]


def _truncated(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    path = write_tessera(t, f)
    path.write_bytes(path.read_bytes()[:1000])
    return [path]


def _land_mask_alone(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    path = write_tessera(t, f).with_suffix(".tiff")
    for name in path.parent.glob("*.npy"):
        name.unlink()
    return [path.parent]


def _beside_imagery(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    image = write_bands(
        f / "photo.tif", np.ones((3, 60, 70), np.uint8), e.grid, ["red", "green", "blue"]
    )
    return [write_alpha_earth(e, f / "a.tif"), image]


def _no_limits(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    folder = write_quantized(e, f / "q")
    (folder / "quantization.json").write_text("{}")
    return [folder]


def _nan_limits(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    folder = write_quantized(e, f / "q")
    path = folder / "quantization.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"max": [np.nan] * len(told["max"])}))
    return [folder]


def _truth_values(e: SyntheticEmbedding, t: SyntheticEmbedding, f: Path) -> list[Path]:
    path = write_tessera(t, f)
    np.save(path, np.load(path) > 0)
    return [path]


REFUSED: dict[str, tuple[Callable[..., list[Path]], str]] = {
    "raw codes as floats": (_raw_as_float, "holds codes as float32: whole numbers from"),
    "decoded numbers as codes": (_cut_to_integers, "were decoded before or cut to -1, 0 and 1"),
    "scales missing": (lambda e, t, f: [write_tessera(t, f, scales=False)], "no scales lie beside it"),
    "scales of another size": (_scales_of((59, 70)), "have the shape 59 x 70 and the codes of"),
    "scales of other dimensions": (_scales_of((60, 70, 64)), "have the shape 60 x 70 x 64"),
    "land mask missing": (lambda e, t, f: [write_tessera(t, f, land_mask=False)], "has no georeference. Expected the land mask"),
    "land mask alone": (_land_mask_alone, "is the land mask of a TESSERA grid and no imagery"),
    "land mask named": (lambda e, t, f: [write_tessera(t, f).with_suffix(".tiff")], "give 'grid_13.55_50.95.npy'"),
    "patches": (_patches, "is an array of 50 x 768: vectors of patches or points without a grid"),
    "truncated": (_truncated, "cannot be read as a NumPy array"),
    "scales named": (lambda e, t, f: [write_tessera(t, f).with_name("grid_13.55_50.95_scales.npy")], "holds the scales of a TESSERA grid"),
    "other years": (
        lambda e, t, f: [write_alpha_earth(e, f / "a.tif"), write_alpha_earth(e, f / "b.tif", year=2023)],
        "Expected one year in a job",
    ),
    "other versions": (
        lambda e, t, f: [write_tessera(t, f), write_tessera(t, f, version="1.0")],
        "Expected one version in a job",
    ),
    "other products": (
        lambda e, t, f: [write_alpha_earth(e, f / "a.tif"), write_tessera(t, f)],
        "Expected one product in a job",
    ),
    "beside imagery": (_beside_imagery, "Expected one kind in a job"),
    "no limits": (_no_limits, "has no limits of dimensions (no key is 'min' or 'max')"),
    "limits that are no numbers": (_nan_limits, "has no limits of dimensions ('max.0' is NaN, expected a finite number)"),
    "truth values": (_truth_values, "holds values of the type bool. Expected integers or floating-point numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_an_embedding_is_said_in_one_sentence(
    case: str, alpha: SyntheticEmbedding, tessera: SyntheticEmbedding, tmp_path: Path
) -> None:
    write, words = REFUSED[case]
    with pytest.raises((RasterError, InputFileError)) as refused:
        open_scenes(write(alpha, tessera, tmp_path))
    assert words in str(refused.value)
    assert "Expected" in str(refused.value)


@pytest.mark.parametrize(
    ("decode", "words"),
    [
        ("alphaearht", "Expected nothing, 'none', a product (AlphaEarth, TESSERA"),
        ("v * w", "[scene] decode is 'v * w'"),
        ("none.tif", "which do not exist"),
        ("short.csv", "has 3 values and 'a.tif' stores int8. Expected 256"),
        ("sign(v) * (v / 127.5) ** 2", "were decoded before"),
    ],
)
def test_a_wrong_setting_is_said_in_one_sentence(
    decode: str, words: str, alpha: SyntheticEmbedding, tmp_path: Path
) -> None:
    (tmp_path / "short.csv").write_text("1\n2\n3\n")
    is_formula = decode.startswith("sign")
    path = (write_decoded if is_formula else write_alpha_earth)(alpha, tmp_path / "a.tif")
    if not is_formula:  # a file that tells nothing
        with rasterio.open(path, "r+") as dataset:
            dataset.set_band_description(1, "x")
    with pytest.raises((ConfigError, InputFileError, RasterError)) as refused:
        open_scenes([path], decode=decode)
    assert words in str(refused.value)


@pytest.fixture
def tessera_folder(tessera: SyntheticEmbedding, tmp_path: Path) -> Path:
    write_tessera(tessera, tmp_path)
    (tmp_path / "notes").mkdir()
    write_bands(tmp_path / "notes" / "photo.tif", np.ones((3, 60, 70), np.uint8), tessera.grid, [])
    return tmp_path


def test_a_folder_of_grids_leaves_out_land_masks_and_pictures(tessera_folder: Path) -> None:
    told = Told()
    scenes = open_scenes([tessera_folder], reporter=Reporter(told))
    assert [scene.name for scene in scenes] == ["grid_13.55_50.95.npy"]
    assert "grid_13.55_50.95.tiff (land mask of a grid)" in told.of("log")
    assert "photo.tif (raster beside embeddings)" in told.of("log")


@pytest.mark.parametrize("write", [write_alpha_earth, write_tessera])
def test_scenes_travel_to_other_processes(
    write: Callable[..., Path], alpha: SyntheticEmbedding, tmp_path: Path
) -> None:
    path = write(alpha, tmp_path / "a.tif" if write is write_alpha_earth else tmp_path)
    [scene] = open_scenes([path])
    sent = pickle.loads(pickle.dumps(scene))
    np.testing.assert_array_equal(sent.read().image, scene.read().image)
    before = scene.fingerprint()
    assert before == sent.fingerprint()
    os.utime(path, ns=(1, 1))
    assert scene.fingerprint() != before


def test_files_without_names_get_those_of_the_product(
    alpha: SyntheticEmbedding, tmp_path: Path
) -> None:
    named = open_scenes([write_alpha_earth(alpha, tmp_path / "a.tif")])[0]
    unnamed = open_scenes([write_alpha_earth(alpha, tmp_path / "b.tif", named=False)])[0]
    assert named.band_names == unnamed.band_names == [f"a{k:02d}" for k in range(64)]
