"""Figures say what the data say, and leave matplotlib and torch alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.assessment_result import Assessment
from geopointseg.assessment.calibration import fit_temperature, measure_reliability
from geopointseg.assessment.confusion import ConfusionMatrix
from geopointseg.landscape import Landscape, draw_points, make_landscape, write_scene
from geopointseg.raster.class_map import ClassMap, write_class_map
from geopointseg.raster.scene import Scene
from geopointseg.report import figure_style, figures
from geopointseg.report.picture import picture_map, picture_scene, reduced_shape


@pytest.fixture(scope="module")
def landscape() -> Landscape:
    return make_landscape(200, 300, seed=3)


@pytest.fixture(scope="module")
def folder(landscape: Landscape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_scene(landscape, str(folder / "scene.tif"))
    truth = landscape.truth.astype(np.int64)
    noise = np.random.default_rng(0).random(truth.shape) < 0.2
    mapped = np.where(noise, np.roll(truth, 7, axis=1), truth)
    write_class_map(
        folder / "map.tif", mapped, landscape.grid, landscape.legend, valid=landscape.valid
    )
    return folder


@pytest.fixture(scope="module")
def assessed(landscape: Landscape, folder: Path) -> Assessment:
    points = draw_points(landscape, 30, seed=4)
    return assess(folder / "map.tif", points, sampling="stratified")


def test_overview_shows_every_panel_with_its_score(
    landscape: Landscape, folder: Path, assessed: Assessment
) -> None:
    class_map = ClassMap.open(folder / "map.tif")
    points = draw_points(landscape, 10, seed=1)
    figure = figures.draw_overview(
        Scene.open(folder / "scene.tif"), points, {"forest": class_map, "network": class_map},
        class_map, {"network": assessed.confusion},
    )  # fmt: skip
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["Scene and points", "Map: forest", "Map: network", "Truth"]
    notes = [axis.get_title(loc="right") for axis in figure.axes]
    assert notes[2] == f"mean F1 {assessed.confusion.mean('f1'):.3f}"
    assert notes[1] == ""
    [scatter] = figure.axes[0].collections
    assert len(scatter.get_offsets()) == len(points)
    row, col = landscape.grid.world_to_pixel(*_xy(points, landscape))
    np.testing.assert_allclose(scatter.get_offsets(), np.column_stack([col, row]), atol=1e-3)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == landscape.legend.names


def _xy(points, landscape):
    moved = points.to_crs(landscape.grid.crs)
    return moved.x, moved.y


def test_picture_of_a_map_has_its_colours(landscape: Landscape, folder: Path) -> None:
    picture = picture_map(ClassMap.open(folder / "map.tif"))
    assert picture.shape == (200, 300, 4)
    mapped, valid = ClassMap.open(folder / "map.tif").read()
    np.testing.assert_array_equal(picture[valid][:, :3], landscape.legend.rgb[mapped[valid]])
    assert (picture[~valid] == 0).all()


def test_picture_of_a_scene_is_in_natural_colours(landscape: Landscape, folder: Path) -> None:
    """The bands are stored blue, green, red, nir; the picture must start with red."""
    picture = picture_scene(Scene.open(folder / "scene.tif"))
    valid = landscape.valid
    assert (picture[..., 3][valid] == 255).all()
    assert (picture[..., 3][~valid] == 0).all()
    red = landscape.image[2].astype(float)
    correlation = np.corrcoef(picture[..., 0][valid], red[valid])[0, 1]
    assert correlation > 0.9 > np.corrcoef(picture[..., 0][valid], landscape.image[3][valid])[0, 1]


def test_large_scenes_are_read_small(folder: Path) -> None:
    scene = Scene.open(folder / "scene.tif")
    assert picture_scene(scene, longest=50).shape[:2] == (33, 50)
    assert reduced_shape(scene.grid, 1000) == (200, 300)


def test_confusion_figure_has_the_map_in_rows(assessed: Assessment) -> None:
    matrix = ConfusionMatrix.from_labels([0], [1], assessed.legend)
    figure = figures.draw_confusion(matrix)
    axis = figure.axes[0]
    [one] = [text for text in axis.texts if text.get_text() == "1"]
    assert one.get_position() == (1, 0)  # column: reference class 1, row: map class 0
    assert "map" in axis.get_ylabel()
    assert "reference" in axis.get_xlabel()


def test_class_scores_show_the_estimates(assessed: Assessment) -> None:
    axis = figures.draw_class_scores(assessed).axes[0]
    users = axis.containers[0].lines[0].get_xdata()
    assert assessed.estimates is not None
    np.testing.assert_allclose(users, [e.value for e in assessed.estimates.users])
    assert [t.get_text() for t in axis.get_yticklabels()] == assessed.legend.names


def test_areas_show_mapped_and_estimated(assessed: Assessment) -> None:
    axis = figures.draw_areas(assessed).axes[0]
    widths = [bar.get_width() for bar in axis.patches]
    assert widths == pytest.approx([a.mapped_ha for a in assessed.class_areas.values()])


def test_all_other_figures_are_drawn() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 300)
    truth = rng.integers(0, 3, 300)
    calibration = fit_temperature(probabilities, truth)
    drawn = [
        figures.draw_reliability(calibration.before, calibration.after),
        figures.draw_reliability(measure_reliability(probabilities, truth)),
        figures.draw_learning_curve([10, 20], {"a": [[0.1, 0.2], [0.3]], "b": [[0.1], [0.2]]}),
        figures.draw_training({"loss": ([1, 2], [0.5, 0.4])}),
        figures.draw_cross_validation({"a": [(0.5, 0.4, 0.6)]}, ["mean"], "F1"),
    ]
    for figure in drawn:
        assert len(figure_style.figure_png(figure)) > 1000


def test_svg_is_well_formed_and_follows_the_page(assessed: Assessment) -> None:
    text = figure_style.figure_svg(figures.draw_areas(assessed), 'Areas of "all" classes <here>')
    root = ET.fromstring(text)
    assert root.attrib["aria-label"] == 'Areas of "all" classes <here>'
    assert root.attrib["role"] == "img"
    assert "var(--ink)" in text
    assert figure_style.INK not in text
    assert "crop" in "".join(root.itertext())


def test_settings_of_matplotlib_are_left_as_they_were(assessed: Assessment) -> None:
    before = dict(mpl.rcParams)
    figure_style.figure_svg(figures.draw_class_scores(assessed), "x")
    assert dict(mpl.rcParams) == before


def test_figures_need_no_torch() -> None:
    code = "import sys; import geopointseg.report.figures, geopointseg.report.document; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
