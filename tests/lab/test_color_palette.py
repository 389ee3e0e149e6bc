from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopointseg.errors import InputFileError, LegendError
from geopointseg.lab.color_palette import PALETTES, Palette, decode_colors, read_palette
from geopointseg.legend import Legend


def paint(palette: Palette, index: np.ndarray) -> np.ndarray:
    """Paint class indices; -1 is the first void colour."""
    void = (
        [int(palette.void_colors[0][i : i + 2], 16) for i in (1, 3, 5)]
        if palette.void_colors
        else [1, 2, 3]
    )
    return np.moveaxis(np.vstack([palette.legend.rgb, void])[index].astype(np.uint8), -1, 0)


@pytest.mark.parametrize("name", sorted(PALETTES))
def test_every_class_of_every_palette_comes_back(name):
    palette = PALETTES[name]
    index = np.arange(-1 if palette.void_colors else 0, len(palette.legend)).reshape(1, -1)
    found, report = decode_colors(paint(palette, index), palette)
    np.testing.assert_array_equal(found, index)
    assert (report.exact, report.snapped, report.unknown) == (index.size, 0, 0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), name=st.sampled_from(["deepglobe", "isprs", "swiss_drone"]))
def test_small_changes_of_colour_do_not_change_the_class(seed, name):
    rng = np.random.default_rng(seed)
    palette = PALETTES[name]
    index = rng.integers(-1, len(palette.legend), (12, 9))
    image = paint(palette, index).astype(int) + rng.integers(-12, 13, (3, 12, 9))
    found, report = decode_colors(image.clip(0, 255).astype(np.uint8), palette)
    np.testing.assert_array_equal(found, index)
    assert report.exact + report.snapped == index.size


def test_far_colours_are_counted_and_left_unlabelled():
    image = np.array(
        [[[0, 128, 128, 128]], [[255, 128, 128, 0]], [[255, 128, 128, 0]]], dtype=np.uint8
    )
    found, report = decode_colors(image, PALETTES["deepglobe"])
    assert found.tolist() == [[0, -1, -1, -1]]
    assert report.unknown == 3
    assert report.unknown_colors == (("#808080", 2), ("#800000", 1))
    assert report.describe_unknown() == "3 pixels: #808080 (2), #800000 (1)"


def test_no_snapping_on_request():
    image = np.full((3, 1, 1), 254, dtype=np.uint8)
    assert decode_colors(image, PALETTES["isprs"])[0][0, 0] == 0
    assert decode_colors(image, PALETTES["isprs"], snap_distance=0)[0][0, 0] == -1


def test_transparent_pixels_are_unlabelled():
    image = np.array([[[255, 255]], [[255, 255]], [[255, 255]], [[0, 255]]], dtype=np.uint8)
    found, report = decode_colors(image, PALETTES["isprs"])
    assert found.tolist() == [[-1, 0]]
    assert report.exact == 1


FILES = {
    "kaggle.csv": "name,r,g,b\nurban_land,0,255,255\nforest_land,0,255,0\nunknown,0,0,0\n",
    "hex.txt": "urban_land #00FFFF\nforest_land #00ff00\nvoid #000000\n",
    "codes.csv": "code;r;g;b;name\n1;0;255;255;urban_land\n2;0;255;0;forest_land\n0;0;0;0;nodata\n",
    "legend.json": json.dumps([
        {"code": 1, "name": "urban_land", "color": "#00FFFF"}, {"code": 2, "name": "forest_land", "color": "#00ff00"},
        {"code": 0, "name": "Unknown", "color": "#000000"},
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FILES))
def test_palette_files(tmp_path, name):
    path = tmp_path / name
    path.write_text(FILES[name])
    palette = read_palette(path)
    assert palette.legend == Legend.from_names(
        ["urban_land", "forest_land"], colors=["#00ffff", "#00ff00"]
    )
    assert palette.void_colors == ("#000000",)


def test_gdal_colour_tables_without_names(tmp_path):
    path = tmp_path / "colors.txt"
    path.write_text("3 0 255 255 255\n7 0 255 0 255\n")
    palette = read_palette(path)
    assert palette.legend.codes.tolist() == [3, 7]
    assert palette.legend.names == ["3", "7"]


def test_unknown_palette_names_the_nearest():
    with pytest.raises(LegendError, match=r"no palette 'deepglobal', .*Did you mean 'deepglobe'\?"):
        read_palette("deepglobal")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "forest,green\nwater,1,2,3\nsea,blue\n",
            r"no colour in line 3 of the palette .*Expected a name and a colour",
        ),
        ("forest,1,2,300\n", r"no colour in line 1"),
        ("", r"has no classes\. Expected one a line"),
        ('[{"code": 1}]', r"cannot be read \(an object has no 'name'\)"),
    ],
)
def test_broken_palette_files(tmp_path, text, words):
    path = tmp_path / "p.txt"
    path.write_text(text)
    with pytest.raises(InputFileError, match=words):
        read_palette(path)
