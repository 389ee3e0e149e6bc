"""Bands by name: whatever their order, and refused where one is lacking."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from geopointseg.bands.band_names import (
    band_specs,
    common_name,
    require_distinct_bands,
    resolve_bands,
)
from geopointseg.bands.empty_bands import drop_empty_bands
from geopointseg.errors import ConfigError, RasterError
from geopointseg.progress import Event, Reporter
from geopointseg.raster.expression import Expression
from geopointseg.raster.scene import Scene

RGBN = ("red", "green", "blue", "nir")


class Collect:
    """A sink that keeps messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def emit(self, event: Event) -> None:
        if event.kind in {"log", "warning"}:
            self.messages.append(f"{event.kind}: {event.message}")

    def close(self) -> None: ...


def write(
    path: Path, names: tuple[str, ...] | int, values: np.ndarray | None = None, **options: Any
) -> Scene:
    """Write a raster whose band k (from 1) holds the value 10 k everywhere."""
    count = names if isinstance(names, int) else len(names)
    if values is None:
        values = (np.arange(1, count + 1) * 10).reshape(-1, 1, 1) * np.ones((1, 6, 7))
        values = values.astype(np.uint8 if count < 25 else np.uint16)
    profile = {"photometric": "MINISBLACK"} | options
    tags = profile.pop("band_tags", {})
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=values.shape[1], width=values.shape[2],
        dtype=values.dtype, crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5.7e6), **profile,
    ) as target:  # fmt: skip
        target.write(values)
        if not isinstance(names, int):
            target.descriptions = names
        for band, tag in tags.items():
            target.update_tags(band, **tag)
    return Scene.open(path)


def values_of(scene: Scene) -> list[float]:
    return scene.read().image[:, 2, 3].tolist()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None
)
@given(order=st.permutations(RGBN))
def test_any_order_on_file_reads_the_wanted_order(tmp_path: Path, order: list[str]):
    scene = write(tmp_path / f"{'_'.join(order)}.tif", tuple(order))
    assert values_of(resolve_bands(scene, RGBN)) == [10 * (order.index(name) + 1) for name in RGBN]


def test_a_subset_is_enough(tmp_path: Path):
    scene = resolve_bands(write(tmp_path / "s.tif", RGBN), ["nir", "red"])
    assert values_of(scene) == [40, 10]
    assert scene.band_names == ["nir", "red"]


def test_a_lacking_band_is_named(tmp_path: Path):
    scene = write(tmp_path / "rgb.tif", ("red", "green", "blue"))
    with pytest.raises(
        RasterError, match=r"'rgb.tif' has no band 'nir'. It has 3 bands: red, green, blue"
    ):
        resolve_bands(scene, RGBN)
    with pytest.raises(RasterError, match=r"has no band 'nir', which 'ndvi' needs"):
        resolve_bands(scene, ["red", "ndvi"])
    with pytest.raises(RasterError, match=r"no band number 7.*choose among these"):
        resolve_bands(scene, ["7"])


def test_spelling_and_common_names(tmp_path: Path):
    scene = write(tmp_path / "n.tif", ("Near Infrared", "RED", "Swir1", "Band-9 (custom)"))
    assert values_of(resolve_bands(scene, ["red", "nir", "swir16", "band 9 custom"])) == [
        20,
        10,
        30,
        40,
    ]
    assert [common_name(b) for b in scene.bands] == ["nir", "red", "swir16", ""]


def test_wavelengths_from_tags_and_descriptions(tmp_path: Path):
    tags = {
        1: {"wavelength": "842", "wavelength_units": "Nanometers"},
        2: {"wavelength": "0.665", "wavelength_units": "Micrometers"},
    }
    scene = write(tmp_path / "w.tif", ("first", "second", "Band 3 (560.5 nm)"), band_tags=tags)
    assert [b.wavelength_um for b in scene.bands] == pytest.approx([0.842, 0.665, 0.5605])
    assert values_of(resolve_bands(scene, ["green", "red", "nir"])) == [30, 20, 10]
    assert values_of(resolve_bands(scene, ["840nm", "0.56um"])) == [10, 30]
    with pytest.raises(RasterError, match="no band '700nm'"):
        resolve_bands(scene, ["700nm"])


def test_colour_interpretation_names_what_has_no_description(tmp_path: Path):
    scene = write(tmp_path / "c.tif", 3, photometric="RGB")
    assert values_of(resolve_bands(scene, ["blue", "red"])) == [30, 10]


def colored(path: Path, colors: str) -> Scene:
    """Write nameless bands whose colours are told, as in ``rgb-``."""
    told = {"r": ColorInterp.red, "g": ColorInterp.green, "b": ColorInterp.blue}
    write(path, len(colors))
    with rasterio.open(path, "r+") as target:
        target.colorinterp = [told.get(color, ColorInterp.undefined) for color in colors]
    return Scene.open(path)


def test_nameless_bands_are_found_again_by_their_colour(tmp_path: Path):
    specs = band_specs(colored(tmp_path / "rgb.tif", "rgb-"))
    assert specs == ("band_1:red", "band_2:green", "band_3:blue", "band_4")
    assert values_of(resolve_bands(colored(tmp_path / "bgr.tif", "bgr-"), specs)) == [
        30,
        20,
        10,
        40,
    ]
    bgr = colored(tmp_path / "three.tif", "bgr")
    both = [*specs[:3], *band_specs(bgr)]  # two models, averaged
    assert values_of(resolve_bands(bgr, both)) == [30, 20, 10, 10, 20, 30]


@pytest.mark.parametrize(
    "specs", [("band_1", "band_2", "band_3"), ("band_1:red", "band_2:green", "band_3:blue")]
)
def test_colours_told_by_one_side_only_need_names_on_the_other(
    tmp_path: Path, specs: tuple[str, ...]
):
    same = colored(tmp_path / "rgb.tif", "rgb")
    plain, named = write(tmp_path / "u.tif", 3), write(tmp_path / "n.tif", ("blue", "green", "red"))
    for scene in (same, plain):
        assert values_of(resolve_bands(scene, specs)) == [10, 20, 30]
    by_name = [30, 20, 10] if ":" in specs[0] else [10, 20, 30]
    assert values_of(resolve_bands(named, specs)) == by_name
    assert band_specs(plain) == ("band_1", "band_2", "band_3")


def test_colours_that_contradict_are_refused(tmp_path: Path):
    specs = band_specs(colored(tmp_path / "rgb.tif", "rgb-"))
    with pytest.raises(
        RasterError, match=r"'a.tif' \(band_1:green, band_2:blue, .* not those wanted"
    ):
        resolve_bands(colored(tmp_path / "a.tif", "gb--"), specs)
    with pytest.raises(RasterError, match="not those wanted"):  # band_4 is the blue one
        resolve_bands(colored(tmp_path / "b.tif", "-rgb"), specs)


def test_bands_without_names_are_taken_in_order_and_it_is_said(tmp_path: Path):
    collect = Collect()
    scene = resolve_bands(write(tmp_path / "u.tif", 4), RGBN, reporter=Reporter(collect))
    assert values_of(scene) == [10, 20, 30, 40]
    assert scene.band_names == list(RGBN)
    assert "taken in their order" in collect.messages[0]
    assert "red, green, blue, nir" in collect.messages[0]
    with pytest.raises(
        RasterError, match=r"has no band 'red'. It has 3 bands: band_1, band_2, band_3"
    ):
        resolve_bands(write(tmp_path / "v.tif", 3), RGBN)


def test_a_model_without_names_takes_named_bands_in_order(tmp_path: Path):
    collect = Collect()
    wanted = ["band_1", "band_2", "band_3", "band_4"]
    scene = resolve_bands(write(tmp_path / "n.tif", RGBN), wanted, reporter=Reporter(collect))
    assert values_of(scene) == [10, 20, 30, 40]
    assert "the model has no band names" in collect.messages[0]


def test_a_model_without_names_that_dropped_a_band(tmp_path: Path):
    wanted = ["band_1", "band_2", "band_4"]
    assert values_of(resolve_bands(write(tmp_path / "u.tif", 4), wanted)) == [10, 20, 40]
    assert values_of(resolve_bands(write(tmp_path / "n.tif", RGBN), wanted)) == [10, 20, 40]


def test_two_bands_of_one_name_are_refused(tmp_path: Path):
    scene = write(tmp_path / "t.tif", ("red", "red", "nir"))
    with pytest.raises(
        RasterError, match=r"2 bands that 'red' may mean \(bands 1, 2\).*by its number"
    ):
        resolve_bands(scene, ["red"])
    assert values_of(resolve_bands(scene, ["2", "nir"])) == [20, 30]


def test_bands_that_a_model_could_not_tell_apart_are_refused(tmp_path: Path):
    scene = write(tmp_path / "t.tif", ("red", "red", "nir"))
    with pytest.raises(RasterError, match=r"'t.tif' has 2 bands called 'red'.*rename the bands"):
        require_distinct_bands(scene)
    require_distinct_bands(write(tmp_path / "u.tif", 3))


def test_indices_are_computed_on_the_fly(tmp_path: Path):
    scene = write(tmp_path / "i.tif", RGBN)
    moved = resolve_bands(scene, ["nir", "ndvi", "NDWI", "ratio = nir / (red + 10)"])
    np.testing.assert_allclose(values_of(moved), [40, 30 / 50, -20 / 60, 2.0], rtol=1e-6)
    assert moved.band_names == ["nir", "ndvi", "ndwi", "ratio"]
    specs = band_specs(moved)
    assert specs == ("nir", "ndvi", "ndwi", "ratio = nir / (red + 10)")
    other = write(tmp_path / "o.tif", tuple(reversed(RGBN)))
    again = pickle.loads(pickle.dumps(resolve_bands(other, specs)))
    np.testing.assert_allclose(values_of(again), [10, -30 / 50, 20 / 40, 10 / 50], rtol=1e-6)


def test_indices_of_bands_taken_in_order(tmp_path: Path):
    scene = resolve_bands(write(tmp_path / "u.tif", 4), [*RGBN, "ndvi"])
    np.testing.assert_allclose(values_of(scene), [10, 20, 30, 40, 0.6], rtol=1e-6)


LEIPZIG = ("b02", "b03", "b04", "b06", "b07", "b08", "b11", "ndvi")


def test_a_stored_index_is_a_band_like_others_where_bands_are_taken_in_order(tmp_path: Path):
    collect = Collect()
    scene = resolve_bands(write(tmp_path / "u.tif", 8), LEIPZIG, reporter=Reporter(collect))
    assert values_of(scene) == [10, 20, 30, 40, 50, 60, 70, 80]
    assert scene.band_names == list(LEIPZIG)
    assert all(band.expression is None for band in scene.bands)
    assert "band_8) as b02, b03, b04, b06, b07, b08, b11, ndvi" in collect.messages[0]
    both = resolve_bands(write(tmp_path / "v.tif", 2), ["ndvi", "ndwi"])
    assert values_of(both) == [10, 20]


@pytest.mark.parametrize(
    "names", [7, LEIPZIG[:7], tuple(reversed(LEIPZIG[:7])), (*LEIPZIG[:7], "slope")]
)
def test_an_index_that_is_not_stored_is_computed(tmp_path: Path, names: tuple[str, ...] | int):
    scene = write(tmp_path / "s.tif", names)
    wanted = dict(zip(LEIPZIG, values_of(resolve_bands(scene, LEIPZIG)), strict=True))
    red, nir = wanted["b04"], wanted["b08"]
    assert wanted["ndvi"] == pytest.approx((nir - red) / (nir + red))
    turned = names == tuple(reversed(LEIPZIG[:7]))
    assert (red, nir) == ((50, 20) if turned else (30, 60))


@pytest.mark.parametrize(
    ("file", "names", "wanted", "values"),
    [
        ("LC08_L2SP_1.tif", ("b4", "b5", "b6"), ("red", "nir", "ndmi"), [10, 20, -10 / 50]),
        ("LT05_L2SP_1.tif", ("b3", "b4", "b5"), ("red", "nir", "ndmi"), [10, 20, -10 / 50]),
        ("s2.tif", ("b4", "b8a", "b12"), ("red", "nir", "swir22"), [10, 20, 30]),
        ("s2.tif", ("b8a", "b08"), ("nir08", "nir"), [10, 20]),
    ],
)
def test_numbered_bands_of_known_satellites(
    tmp_path: Path, file: str, names: tuple[str, ...], wanted: tuple[str, ...], values: list[float]
):
    scene = resolve_bands(write(tmp_path / file, names), wanted)
    np.testing.assert_allclose(values_of(scene), values, rtol=1e-6)


def test_numbered_bands_of_no_known_satellite_are_not_guessed(tmp_path: Path):
    with pytest.raises(RasterError, match=r"'x.tif' has no band 'nir', which 'ndvi' needs"):
        resolve_bands(write(tmp_path / "x.tif", ("b3", "b4", "b5")), ["ndvi"])


def test_undefined_index_is_zero_and_nodata_stays_nodata(tmp_path: Path):
    values = np.zeros((2, 6, 7), np.uint8)
    values[:, 0, 0] = 255
    scene = resolve_bands(write(tmp_path / "z.tif", ("red", "nir"), values, nodata=255), ["ndvi"])
    chip = scene.read()
    assert np.isfinite(chip.image).all()
    assert not chip.valid[0, 0]
    assert chip.valid.sum() == 41


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('x')", "not arithmetic on bands"),
        ("red.__class__", "not arithmetic on bands"),
        ("[red for red in nir]", "not arithmetic on bands"),
        ("lambda: red", "not arithmetic on bands"),
        ("red if nir else blue", "not arithmetic on bands"),
        ("red @ nir", "not arithmetic on bands"),
        ("True + red", "not arithmetic on bands"),
        ("'a' + red", "not arithmetic on bands"),
        ("sqr(red)", "no function 'sqr'.*Did you mean 'sqrt'"),
        ("sqrt(red, nir)", "has 2 arguments. Expected 1"),
        ("(nir - red", "not a formula"),
        ("1 + 2", "names no band"),
    ],
)
def test_formulas_run_no_code(text: str, words: str):
    with pytest.raises(ConfigError, match=words):
        Expression.parse(text)


def test_formulas_agree_with_numpy():
    a, b = np.random.default_rng(0).uniform(1, 9, (2, 5, 5)).astype(np.float32)
    found = Expression.parse("-a ** 2 + maximum(a, b) / 3 - log(b) * sqrt(+a) + minimum(a, 2)")
    expected = -(a**2) + np.maximum(a, b) / 3 - np.log(b) * np.sqrt(a) + np.minimum(a, 2)
    np.testing.assert_allclose(found.evaluate({"a": a, "b": b}), expected, rtol=1e-5)


def test_bands_wholly_nodata_are_dropped_with_a_warning(tmp_path: Path):
    values = np.full((3, 600, 700), 9, np.uint8)
    values[1] = 0
    values[2, :599] = 0
    scene = write(tmp_path / "e.tif", ("red", "green", "blue"), values, nodata=0)
    collect = Collect()
    kept = drop_empty_bands(scene, reporter=Reporter(collect))
    assert kept.band_names == ["red", "blue"]
    assert "band green holds nodata only and is left out" in collect.messages[0]
    assert kept.read().valid.sum() == 700
    assert drop_empty_bands(kept) is kept


def test_nan_bands_and_their_indices_are_dropped(tmp_path: Path):
    values = np.ones((3, 6, 7), np.float32)
    values[2] = np.nan
    scene = resolve_bands(
        write(tmp_path / "e.tif", ("red", "green", "nir"), values), ["red", "nir", "ndvi"]
    )
    with pytest.warns(UserWarning, match="bands nir, ndvi hold nodata only"):
        assert drop_empty_bands(scene).band_names == ["red"]


def test_all_bands_nodata_is_refused(tmp_path: Path):
    scene = write(tmp_path / "e.tif", 2, np.zeros((2, 6, 7), np.uint8), nodata=0)
    with pytest.raises(RasterError, match=r"holds no image: all its bands \(band_1, band_2\)"):
        drop_empty_bands(scene)


def test_two_hundred_bands_by_number(tmp_path: Path):
    scene = resolve_bands(write(tmp_path / "h.tif", 200), ["150", "3"])
    assert values_of(scene) == [1500, 30]


@pytest.mark.parametrize(
    "names", [("3", "2", "1"), ("红", "绿", "蓝"), ("b=1", "b=2", "b=3"), ("b+1", "b-1", "b*1")]
)
def test_names_of_any_kind_find_their_own_bands_again(tmp_path: Path, names) -> None:
    scene = write(tmp_path / "s.tif", names)
    assert values_of(resolve_bands(scene, band_specs(scene))) == [10, 20, 30]


def test_colours_of_a_model_are_found_by_the_names_of_a_scene(tmp_path: Path) -> None:
    wanted = ("band_1:red", "band_2:green", "band_3:blue")
    scene = write(tmp_path / "3.tif", ("blue", "green", "red"))
    assert values_of(resolve_bands(scene, wanted)) == [30, 20, 10]
    four = write(tmp_path / "4.tif", ("blue", "green", "red", "nir"))
    assert values_of(resolve_bands(four, (*wanted, "band_4"))) == [30, 20, 10, 40]
    with pytest.raises(RasterError, match="are not those wanted"):
        resolve_bands(write(tmp_path / "mixed.tif", ("blue", "green", "swir22")), wanted)
