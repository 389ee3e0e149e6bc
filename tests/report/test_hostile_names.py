"""Names of classes, files and bands are shown as text in reports, figures, notebooks and model cards."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from matplotlib.figure import Figure
from rasterio.crs import CRS

from geopointseg.assessment.accuracy import assess
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.model.card import render_card
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.grid import Grid
from geopointseg.report.document import write_report
from geopointseg.report.figure_style import figure_svg, new_figure, styled
from geopointseg.summary import _html_cell

NAMES = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</svg><a href='javascript:1'>x</a>", "$\\frac{$", "\\1\\g<9>\\d",
    "{{ 7 * 7 }}{% raw %}", "![x](http://host/x.png) [y](javascript:1) `c` |", "a&lt;b&amp;c",
]  # fmt: skip
TAGS = {"script", "iframe", "object", "embed", "link", "form", "base", "foreignobject"}


class Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.text += data


def require_harmless(text: str) -> Page:
    page = Page(text)
    for tag, attributes in page.found:
        assert tag not in TAGS
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "href", "xlink:href") or str(value).startswith(
                ("data:", "#")
            ), (tag, value)
    return page


def test_a_report_shows_names_as_text(tmp_path: Path) -> None:
    legend = Legend.from_names(NAMES)
    grid = Grid(CRS.from_epsg(32633), Affine(10, 0, 500000, 0, -10, 5700000), 40, 48)
    truth = np.kron(np.arange(8).reshape(2, 4), np.ones((20, 12), np.int64)).astype(np.int64)
    mapped = np.where(np.random.default_rng(0).random(truth.shape) < 0.1, 0, truth)
    path = tmp_path / "a<b>&'$x$\\1.tif"
    write_class_map(path, mapped, grid, legend)
    row, col = (v.ravel()[::37] for v in np.indices(truth.shape))
    x, y = grid.transform * (col + 0.5, row + 0.5)
    points = Points.from_arrays(x, y, truth[row, col], legend, grid.crs)
    text = write_report(assess(path, points), tmp_path / "r.html") and (
        tmp_path / "r.html"
    ).read_text(encoding="utf-8")
    page = require_harmless(text)
    for name in NAMES:
        assert name in page.text.replace("\u00a0", " "), name


@styled
def draw_bar(name: str) -> Figure:
    figure = new_figure(3, 2)
    axes = figure.add_subplot()
    axes.set_title(name)
    axes.bar([name], [1.0])
    return figure


@pytest.mark.parametrize("name", NAMES)
def test_figures_and_notebooks_show_names_as_text(name: str) -> None:
    page = require_harmless(figure_svg(draw_bar(name), f"A bar of {name}."))
    assert page.found[0][1]["aria-label"] == f"A bar of {name}."
    assert name in page.text
    assert require_harmless(_html_cell(name)).text == name


@pytest.mark.parametrize("name", NAMES)
def test_a_model_card_shows_names_as_text(name: str) -> None:
    description = {
        "legend": [{"code": 1, "name": name, "color": "#000000"}], "bands": [name], "resolution_m": 1.0, "members": [],
        "points": {"per_class": {name: 3}}, "reason": name, "versions": {"torch": name},
        "scenes": [{"name": name, "role": name, "bounds_wgs84": [1, 2, 3, 4], "sha256": name}],
        "receptive_field_px": 3, "chip_size": 3, "normalization": {}, "temperature": 1.0, "config": {},
    }  # fmt: skip
    card = render_card(description)
    assert "<" not in card.replace("&lt;", "")
    assert not re.search(r"(?<!\\)!?\[[^\]]*(?<!\\)\]\(", card)
    rows = [line for line in card.splitlines() if line.startswith("| 1 |")]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 4
