"""Bands of a scene find those of the weights, by whatever both are known by."""

from __future__ import annotations

import pytest

from geopointseg.model.weight_bands import band_common_names, match_bands
from geopointseg.raster.band import Band
from geopointseg.raster.expression import Expression

SENTINEL2 = "SENTINEL2_ALL_MOCO"
B1_TO_B12 = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8a", "B9", "B10", "B11", "B12"]


def bands(*names: str) -> list[Band]:
    return [Band(i, name) for i, name in enumerate(names, 1)]


def colored(*colors: str) -> list[Band]:
    return [Band(i, color=color) for i, color in enumerate(colors, 1)]


@pytest.mark.parametrize(
    "wanted",
    [("red", "green", "blue", "band_4"), ("band_1:red", "band_2:green", "band_3:blue", "band_4")],
)
def test_a_band_without_name_or_colour_is_known_by_its_number(wanted) -> None:
    assert match_bands(wanted, colored("red", "green", "blue", "")) == [0, 1, 2, 3]


def test_colours_outweigh_numbers() -> None:
    wanted = ("band_1:red", "band_2:green", "band_3:blue")
    assert match_bands(wanted, colored("blue", "green", "red")) == [2, 1, 0]
    assert match_bands(wanted, colored("", "", "nir")) == [0, 1, None]


@pytest.mark.parametrize("here", [("nir", "swir1", "swir2"), ("nir", "swir16", "swir22")])
def test_names_of_a_model_are_names_of_a_scene(here) -> None:
    assert match_bands(("nir", "swir1", "swir2"), bands(*here)) == [0, 1, 2]


def test_formulas_are_the_same_whatever_their_name() -> None:
    ratio = Band(0, "ratio", expression=Expression.parse("nir / red"), inputs=())
    assert match_bands(("red", "ratio = nir/red"), [ratio, Band(1, "red")]) == [1, 0]
    assert match_bands(("red", "ratio = nir / green"), [ratio, Band(1, "red")]) == [None, 0]
    ndvi = Band(0, "mine", expression=Expression.parse("(nir - red) / (nir + red)"), inputs=())
    assert match_bands(("ndvi",), [ndvi]) == [0]


def test_scenes_number_their_bands_as_the_sensor_does() -> None:
    wanted = band_common_names(B1_TO_B12, SENTINEL2)
    here = bands("B2", "B03", "b4", "B8", "B8A", "ndvi")
    assert match_bands(wanted, here, sensor=SENTINEL2) == [1, 2, 3, 7, 8, None]


def test_wavelengths_tell_bands_of_one_name_apart() -> None:
    wanted = band_common_names(B1_TO_B12, SENTINEL2)
    centres = (0.443, 0.490, 0.560, 0.665, 0.705, 0.740, 0.783, 0.842, 0.865)
    here = [Band(i, wavelength_um=um) for i, um in enumerate(centres, 1)]
    assert match_bands(wanted, here, sensor=SENTINEL2) == list(range(9))
    landsat = [Band(1, "b6", wavelength_um=1.609), Band(2, "b10", wavelength_um=10.9)]
    assert match_bands(wanted, landsat, sensor=SENTINEL2) == [11, None]


def test_bands_that_a_wavelength_cannot_tell_apart_share_nothing() -> None:
    here = [Band(i, wavelength_um=um) for i, um in enumerate((0.665, 0.705, 0.740), 1)]
    assert match_bands(("red", "rededge"), here) == [0, None, None]
    assert match_bands(("red", "rededge"), bands("red", "red", "rededge")) == [0, 0, 1]


def test_no_band_in_common_is_none() -> None:
    assert match_bands(("red", "green"), bands("", "")) is None
    assert match_bands((), bands("red")) is None
