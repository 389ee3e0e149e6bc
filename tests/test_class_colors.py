"""Classes get the colours that readers of maps expect, and no two the same."""

import pytest

from geopointseg.class_colors import class_colors, default_colors, usual_color

WATER, FOREST, ROAD, CROP, BARE = "#4477aa", "#117733", "#777777", "#ddcc77", "#c8a27a"


@pytest.mark.parametrize(
    ("name", "color"),
    [
        ("water", WATER), ("Open water", WATER), ("lago", WATER), ("Gewässer", WATER), ("forêt", FOREST),
        ("Nadelwald", FOREST), ("broadleaf_forest", FOREST), ("street", ROAD), ("tree", FOREST), ("rice", CROP),
        ("ice", "#cfe3f5"), ("unpaved", BARE), ("paved", ROAD), ("Ackerland", CROP), ("greenhouse", "#cc3344"),
        ("class 3", ""), ("10", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_name_tells_the_colour(name, color):
    assert usual_color(name) == color


def test_classes_of_one_kind_get_shades_and_none_are_alike():
    names = ["lake", "river", "sea", "pond", "forest", *(f"class {k}" for k in range(40))]
    colors = class_colors(names, taken=["#4477AA"])
    assert len(set(colors)) == len(names)
    assert "#4477aa" not in colors
    assert colors[4] == FOREST


def test_names_that_say_nothing_take_the_palette_in_order():
    assert class_colors(["a1", "b2", "c3"]) == default_colors(3)


def test_a_map_of_common_classes_reads_as_one_expects():
    colors = class_colors(["water", "unknown thing", "forest"])
    assert colors[0] == WATER
    assert colors[2] == FOREST
    assert colors[1] not in (WATER, FOREST)


def test_thousands_of_classes_get_colours_of_their_own():
    colors = class_colors([f"class {number}" for number in range(20_000)])
    assert len(set(colors)) == 20_000
    assert all(len(color) == 7 for color in colors)
