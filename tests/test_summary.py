"""Everything public shows itself in one to five lines, without arrays, and in notebooks as a table."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geopointseg as gps
from geopointseg import sampling
from geopointseg.landscape import draw_points, write_scene
from geopointseg.raster.class_map import ClassMap
from geopointseg.sampling import GridSampler, PointSampler, SceneDataset, SparseMaskDataset
from geopointseg.summary import WIDTH, identify

pytestmark = pytest.mark.filterwarnings("ignore")

FUNCTIONS = [
    "validation.suggestion:suggest", "validation.cross_validation:validate", "lab.demonstration:run_demo", "radiometry.histogram_matching:match_raster",
    "validation.applicability:map_applicability", "assessment.design:design_sample", "lab.point_simulation:simulate_points",
    "prediction.predictor:plan_prediction", "learning.pretraining:pretrain", "labels.sparse_mask:rasterize_points",
    "lab.dense_mask:read_dense_mask", "raster.class_map:write_class_map", "bands.stack:stack_bands",
]  # fmt: skip
OWN = {"GeopointsegError", "Member", "ChipIndex"}
"""An exception shows its message; a protocol has no instances; a chip index is a slice of three numbers."""


def public_types() -> set[type]:
    """Return all types of the promised API, their fields' types, and what public functions return."""
    found: set[type] = set()

    def visit(kind: Any) -> None:
        for argument in typing.get_args(kind):
            visit(argument)
        if not inspect.isclass(kind) or kind in found or not kind.__module__.startswith("geopoint"):
            return
        found.add(kind)
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            for field in dataclasses.fields(kind):
                if field.repr:
                    visit(hints[field.name])

    functions = [
        getattr(importlib.import_module(f"geopointseg.{home}"), name, None)
        for home, _, name in (each.partition(":") for each in FUNCTIONS)
    ]
    promised = [getattr(home, name) for home in (gps, sampling) for name in home.__all__]
    for each in (*promised, *functions):
        if inspect.isfunction(each):
            visit(typing.get_type_hints(each).get("return"))
        else:
            visit(each)
    return found


def test_no_public_type_is_left_out() -> None:
    found = public_types()
    assert {gps.Points, gps.ModelBundle, gps.Scene, gps.Assessment, gps.Config} <= found
    assert len(found) > 50
    left_out = {
        kind.__name__
        for kind in found
        if getattr(kind.__repr__, "__module__", "") != "geopointseg.summary"
        and kind.__name__ not in OWN
    }
    assert left_out == set()


@pytest.fixture(scope="module")
def nouns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("nouns")
    landscape = gps.make_landscape(150, 200, seed=3)
    points = draw_points(landscape, 20, seed=1)
    write_scene(landscape, str(folder / "scene.tif"))
    gps.write_points(points, folder / "points.gpkg")
    scene = gps.Scene.open(folder / "scene.tif")
    config = gps.Config().updated({"forest": {"trees": 10}, "loss": {"gamma": 2}})
    model = gps.train(scene, points, output=folder / "model", config=config, model="forest")
    done = gps.predict(model, scene, folder / "map.tif", device="cpu")
    mask = gps.rasterize_points(points, scene.grid)
    dataset = SceneDataset([scene])
    from geopointseg.assessment.design import design_sample
    from geopointseg.radiometry.histogram_matching import match_raster
    from geopointseg.validation.suggestion import suggest

    return {
        "landscape": landscape,
        "points": gps.read_points(folder / "points.gpkg"),
        "split": gps.split_points(points, folds=3, block_size_m=40),
        "scene": scene,
        "chip": scene.read(),
        "config": config,
        "default": gps.Config(),
        "legend": points.legend,
        "mask": mask,
        "model": model,
        "prediction": done,
        "assessment": gps.assess(folder / "map.tif", draw_points(landscape, 14, seed=8), force=True),
        "check": gps.check_points(points, [scene]),
        "map": ClassMap.open(folder / "map.tif"),
        "reporter": gps.Reporter(),
        "dataset": dataset,
        "labels": SparseMaskDataset([mask]),
        "sampler": PointSampler(SceneDataset([scene]) & SparseMaskDataset([mask]), size=64),
        "grid sampler": GridSampler(dataset, size=64),
        "design": design_sample(folder / "map.tif", 30),
        "matching": match_raster(folder / "scene.tif", folder / "scene.tif", folder / "o.tif"),
        "suggested": suggest(
            folder / "model", folder / "scene.tif", output=folder / "s.gpkg", count=5, min_distance_m=3
        ),
    }  # fmt: skip


def everything(values: Any) -> list[Any]:
    """Return the dataclasses and classes of geopointseg among values and the fields of these, however deep."""
    found: list[Any] = []
    waiting, seen = list(values), set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, (list, tuple, dict)):
            waiting += list(value.values()) if isinstance(value, dict) else list(value)
        elif type(value).__module__.startswith("geopointseg") and id(value) not in seen:
            seen.add(id(value))
            if type(value) in public_types() or getattr(
                type(value).__repr__, "__module__", ""
            ).endswith("summary"):
                found.append(value)
            if dataclasses.is_dataclass(value):
                waiting += [getattr(value, field.name) for field in dataclasses.fields(value)]
    return found


def test_everything_is_shown_in_a_few_lines_without_arrays(nouns: dict[str, Any]) -> None:
    found = everything(nouns.values())
    assert len({type(value) for value in found}) > 25
    for value in found:
        lines = repr(value).split("\n")
        assert 1 <= len(lines) <= 5, repr(value)
        assert max(map(len, lines)) <= WIDTH + 10, repr(value)
        assert not re.search(r"array\(|tensor\(|\[\[|object at 0x|\d\. +\d", repr(value)), repr(
            value
        )
        if hasattr(value, "_repr_html_"):
            page = value._repr_html_()
            assert page.count("<table>") == page.count("</table>") >= 1
            assert "array(" not in page


def test_what_people_want_to_know_is_there(nouns: dict[str, Any]) -> None:
    points, legend = nouns["points"], nouns["legend"]
    counts = ", ".join(f"{name} 20" for name in legend.names)
    assert (
        repr(points)
        == f"Points: {len(points)} in {len(legend)} classes, EPSG:4326, from points.gpkg\n{counts}"
    )
    split = repr(nouns["split"]).split("\n")[2]
    assert re.fullmatch(r"split: fold1 \d+, fold2 \d+, fold3 \d+", split)
    assert repr(nouns["scene"]) == (
        "Scene scene.tif: 4 bands of uint16, 150 rows x 200 columns, pixels of 1 x 1, EPSG:32633\n"
        "bands: blue, green, red, nir"
    )
    model = repr(nouns["model"]).split("\n")
    assert model[0] == "ModelBundle 'model': forest (weight 1.00)"
    assert model[1] == f"{len(legend)} classes: {', '.join(legend.names)}"
    assert model[2] == "4 bands of 1 m: blue, green, red, nir"
    assert re.fullmatch(r"mean F1 on held-out points: forest 0\.\d{3}", model[3])
    assert repr(nouns["config"]) == "Config: loss.gamma = 2.0, forest.trees = 10"
    assert repr(nouns["default"]) == "Config: all settings as by default"
    assert repr(nouns["mask"]).startswith(
        f"SparseMask: {len(nouns['mask'])} labelled pixels of 150 rows x 200 columns, EPSG:32633\n"
    )
    assessed = nouns["assessment"]
    assert f"overall accuracy {100 * assessed.overall_accuracy:.1f} % (by counts, " in repr(
        assessed
    )
    assert "mean F1 0." in repr(assessed)
    assert "backend none" in repr(nouns["prediction"])
    assert repr(nouns["reporter"]).startswith("Reporter to ")


def test_tables_of_notebooks_hold_names_colours_and_counts_and_are_escaped() -> None:
    legend = gps.Legend.from_names(["<b>water</b>", "forest"])
    points = gps.Points.from_arrays([0, 1, 2], [0, 0, 0], [0, 1, 1], legend, 32633)
    page = points._repr_html_()  # type: ignore[attr-defined]
    assert "&lt;b&gt;water&lt;/b&gt;" in page
    assert "<b>water" not in page
    assert "<td>2</td>" in page
    assert f'<span style="color:{legend.entries[1].color}">' in page


def test_many_classes_and_long_names_stay_short() -> None:
    legend = gps.Legend.from_names([f"a class with quite a long name {k}" for k in range(900)])
    points = gps.Points.from_arrays(
        np.zeros(900), np.zeros(900), np.arange(900), legend, 32633, split=[f"fold{k}" for k in range(900)],
        scene=[f"{'s' * 300}{k}" for k in range(900)],
    )  # fmt: skip
    for noun in (legend, points, legend.entries[3]):
        assert len(repr(noun).split("\n")) <= 5
        assert len(repr(noun)) < 6 * WIDTH
    assert "and 890 more" in repr(legend).replace("\n    ", " ")
    assert points._repr_html_().count("<tr>") <= 62  # type: ignore[attr-defined]


def test_fingerprints_do_not_depend_on_what_is_shown(tmp_path: Path) -> None:
    from geopointseg.raster.curve import Curve

    knots = np.linspace(0, 1, 5000)
    other = knots.copy()
    other[2500] += 1e-5
    one, two = (Curve(knots, values) for values in (knots, other))
    assert repr(one) == repr(two)
    assert identify(one) != identify(two)
    assert identify(one) == identify(Curve(knots.copy(), knots.copy()))
