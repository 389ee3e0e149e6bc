"""Points and classes of a live session, without imagery."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geopointseg.errors import GeopointsegError, LegendError, RasterError
from geopointseg.legend import Legend
from geopointseg.live.live_legend import append_class, read_legend
from geopointseg.live.live_points import LivePoints
from geopointseg.live.view_pyramid import read_bounds
from geopointseg.raster.grid import Grid

GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_700_000), 50, 80)


def make() -> LivePoints:
    """Return points on a grid whose first row is nodata."""
    return LivePoints(GRID, lambda row, col: row > 0)


def place(row: int, col: int, name: str, **more) -> dict:
    return {"x": 500_005.0 + 10 * col, "y": 5_699_995.0 - 10 * row, "class": name, **more}


def test_identifiers_are_new_and_may_be_the_clients() -> None:
    points = make()
    assert points.add(place(1, 1, "a")) == 1
    assert points.add(place(2, 2, "a", point="mine")) == "mine"
    assert points.add(place(3, 3, "a", point=2)) == 2
    assert points.add(place(4, 4, "a")) == 3
    with pytest.raises(GeopointsegError, match=r"The session has a point 'mine' already\."):
        points.add(place(5, 5, "a", point="mine"))
    assert points.remove("mine").row == 2
    with pytest.raises(GeopointsegError, match=r"There is no point 'mine'\."):
        points.remove("mine")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x": 0.0}, "lies outside the imagery (x 500000 to 500800, y 5.6995e+06 to 5.7e+06, EPSG:32633). Expected a point on it"),
        ({"x": 15.0, "y": 51.4}, 'coordinates in degrees need "crs": "EPSG:4326"'),
        ({"y": 5_699_995.0}, "lies on nodata (row 0, column 5). Expected a point where there is an image."),
        ({"x": None}, "'x' is None. Expected a finite number."),
        ({"x": True}, "'x' is True. Expected a finite number."),
        ({"y": float("inf")}, "'y' is inf. Expected a finite number."),
        ({"y": 10**400}, "Expected a finite number."),
        ({"class": ""}, "The class '' is no name. Expected a text of 1 to 1000 letters."),
        ({"class": ["a"]}, "The class ['a'] is no name."),
        ({"class": "x" * 1001}, "is no name."),
        ({"point": 1.5}, "The identifier 1.5 is no number or text."),
        ({"crs": "EPSG:999999"}, "The CRS 'EPSG:999999' is unknown. Expected a text like 'EPSG:4326' or WKT."),
        ({"crs": 5}, "'crs' is 5. Expected a text like 'EPSG:4326' or WKT."),
    ],
)  # fmt: skip
def test_a_point_that_cannot_be_used_is_refused_and_nothing_changes(changes, sentence) -> None:
    points = make()
    points.add(place(9, 9, "water"))
    with pytest.raises(GeopointsegError) as told:
        points.add(place(5, 5, "forest") | changes)
    assert sentence in str(told.value)
    assert (len(points), points.legend.names, points.version) == (1, ["water"], 1)


def test_a_point_in_another_crs_is_transformed() -> None:
    points = make()
    points.add({"x": 15.0021, "y": 51.4484, "class": "a", "crs": "EPSG:4326"})
    (point,) = points.points
    assert abs(point.x - 500_146) < 5
    assert GRID.bounds[1] < point.y < GRID.bounds[3]


def test_two_classes_in_a_pixel_are_refused_and_the_first_is_kept() -> None:
    points = make()
    first = points.add(place(5, 5, "forest"))
    points.add(place(5, 5, "forest") | {"x": 500_051.0})
    sentence = (
        r"has point 1 of class 'forest' already\. Expected one class per pixel; remove or relabel"
    )
    with pytest.raises(GeopointsegError, match=sentence):
        points.add(place(5, 5, "water"))
    other = points.add(place(6, 6, "water"))
    with pytest.raises(GeopointsegError, match=sentence):
        points.move(other, place(5, 5, ""))
    with pytest.raises(GeopointsegError, match="has point 2 of class 'forest' already"):
        points.relabel(first, "water")
    assert points.counts() == {"forest": 1, "water": 1}


def test_move_and_relabel() -> None:
    points = make()
    number = points.add(place(5, 5, "forest"))
    points.move(number, place(7, 8, "ignored"))
    points.relabel(number, "water")
    (point,) = points.points
    assert (point.row, point.col, point.name) == (7, 8, "water")
    assert points.legend.names == ["forest", "water"]


def test_replacing_all_points_names_those_that_are_not_used() -> None:
    points = make()
    points.add(place(9, 9, "old"))
    problems = points.replace_all(
        [place(1, 1, "a", point="p"), place(2, 2, "a", point="q"), place(2, 2, "b", point="r"),
         place(0, 5, "a", point="s"), 7]
    )  # fmt: skip
    assert [p["point"] for p in problems] == ["s", None, "q", "r"]
    assert problems[0]["error"].startswith("The point at x 500055, y 5.7e+06 lies on nodata")
    assert problems[1]["error"] == "A point is no object. Expected x, y and class."
    assert problems[2]["error"] == (
        "Its pixel has points of several classes ('a', 'b'). Expected one class of the legend per pixel; the point is kept, "
        "but not used."
    )
    assert points.counts() == {"old": 0, "a": 1, "b": 0}


def test_a_legend_that_changes_keeps_the_points() -> None:
    points = make()
    points.replace_all([place(1, 1, "forest"), place(2, 2, "water"), place(3, 3, "road")])
    points.set_legend([{"name": "wood", "was": "forest", "color": "#123456"}, {"name": "water"}])
    assert points.legend.to_json()[0] == {"code": 1, "name": "wood", "color": "#123456"}
    assert points.counts() == {"wood": 1, "water": 1}
    assert [p["error"].split(". ")[0] for p in points.problems()] == [
        "Its class 'road' is not in the legend"
    ]
    points.set_legend([{"name": "road"}, {"name": "water"}, {"name": "wood"}, {"name": "new"}])
    assert points.counts() == {"road": 1, "water": 1, "wood": 1, "new": 0}
    assert not points.problems()
    assert len(set(points.legend.codes.tolist())) == 4


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"name": "a"}, {"name": "a"}], "The class name a occurs twice in the legend."),
        ([{"name": "a", "code": 3}, {"name": "b", "code": 3}], "The class code 3 occurs twice"),
        ([{"name": "a", "code": -1}], "Codes must not be negative"),
        ([{"name": "a", "code": 70_000}], "Expected a whole number from 0 to 65535."),
        ([{"name": "a", "color": "blue"}], "Expected a colour like '#1b7837'."),
        ([{"name": "a", "color": 3}], "Expected a text like '#1b7837'."),
        (["a"], "A row of the legend is no object."),
        ([{"name": f"c{k}"} for k in range(255)], "Expected at most 254"),
    ],
)
def test_a_malformed_legend_is_refused_and_nothing_changes(rows, sentence) -> None:
    points = make()
    points.add(place(1, 1, "kept"))
    with pytest.raises(GeopointsegError) as told:
        points.set_legend(rows)
    assert sentence in str(told.value)
    assert points.legend.names == ["kept"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.sampled_from("ab")), max_size=12),
    st.randoms(),
)
def test_cells_do_not_depend_on_the_order(clicks, random) -> None:
    def cells(rows):
        points = make()
        points.replace_all([place(*row) for row in rows])
        found = points.cells()
        return found.row.tolist(), found.col.tolist(), found.class_index.tolist(), found.names

    shuffled = list(clicks)
    random.shuffle(shuffled)
    assert cells(clicks) == cells(shuffled)
    classes = {}
    for row, col, name in clicks:
        classes.setdefault((row, col), set()).add(name)
    assert cells(clicks)[:2] == tuple(
        map(list, np.array(sorted(k for k, v in classes.items() if len(v) == 1)).reshape(-1, 2).T)
    )


def test_codes_fit_into_a_class_map() -> None:
    full = Legend.from_names(["a"], codes=[65_535])
    grown = append_class(append_class(full, "b"), "c")
    assert grown.codes.tolist() == [65_535, 1, 2]
    legend, _ = read_legend([{"name": "a", "code": 65_535}, {"name": "b"}], full)
    assert legend.codes.tolist() == [65_535, 1]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"name": "a", "code": [1]}], "The code of class 'a' is"),
        ([{"name": "b", "was": "a"}, {"name": "c", "was": "a"}], "the former class 'a'"),
        ([{"name": "a"}, {"name": "b", "was": "a", "code": 2}], "the former class 'a'"),
        ([{"name": "b", "was": "a", "code": 2}, {"name": "a"}], "the former class 'a'"),
    ],
)
def test_legends_that_cannot_be_are_refused(rows, sentence) -> None:
    with pytest.raises(LegendError, match=sentence):
        read_legend(rows, Legend.from_names(["a"]))


@pytest.mark.parametrize("value", [1e300, 10**400, -1e20])
def test_bounds_beyond_any_body_are_refused(value) -> None:
    with pytest.raises(RasterError, match="'bounds' is"):
        read_bounds([0, 0, value, 1])


def test_classes_can_swap_their_names() -> None:
    before = Legend.from_names(["a", "b"])
    legend, renamed = read_legend([{"name": "b", "was": "a"}, {"name": "a", "was": "b"}], before)
    assert (legend.names, legend.codes.tolist()) == (["b", "a"], [1, 2])
    assert renamed == {"a": "b", "b": "a"}
