"""Reports: self-contained, readable by people and screen readers, and true to the numbers."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.assessment_result import Assessment
from geopointseg.assessment.calibration import fit_temperature
from geopointseg.errors import InputFileError, OutputError
from geopointseg.landscape import draw_points, make_landscape, write_scene
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.scene import Scene
from geopointseg.report.document import write_document, write_report
from geopointseg.report.explanation import explain
from geopointseg.report.section import DataTable, Document, Section, Tile


class _Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    VOID = ("meta", "img", "br", "link", "path", "use", "rect", "image")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _parse(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def assessed(tmp_path_factory: pytest.TempPathFactory) -> Assessment:
    folder = tmp_path_factory.mktemp("maps")
    landscape = make_landscape(160, 200, seed=2)
    write_scene(landscape, str(folder / "scene.tif"))
    truth = landscape.truth.astype(np.int64)
    mapped = np.where(np.random.default_rng(0).random(truth.shape) < 0.2, 0, truth)
    write_class_map(folder / "map.tif", mapped, landscape.grid, landscape.legend)
    return assess(folder / "map.tif", draw_points(landscape, 25, seed=4), sampling="stratified")


def test_report_needs_nothing_but_itself(assessed: Assessment, tmp_path: Path) -> None:
    scene = Scene.open(Path(assessed.map_path).with_name("scene.tif"))
    page = _parse(write_report(assessed, tmp_path / "report.html", scene=scene))
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or ""
            assert not value or value.startswith(("data:", "#")), value
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)", text)
    assert "<script" not in text
    assert "@import" not in text


def test_every_picture_has_a_text(assessed: Assessment, tmp_path: Path) -> None:
    page = _parse(write_report(assessed, tmp_path / "report.html"))
    pictures = [attributes for tag, attributes in page.tags if tag in ("img", "svg")]
    assert len(pictures) >= 4
    for attributes in pictures:
        assert len(attributes.get("alt") or attributes.get("aria-label") or "") > 20
    assert ("html", {"lang": "en"}) in page.tags
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1


def test_links_of_the_contents_lead_somewhere(assessed: Assessment, tmp_path: Path) -> None:
    page = _parse(write_report(assessed, tmp_path / "report.html"))
    anchors = {attributes.get("id") for _, attributes in page.tags}
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert links
    assert all(link[1:] in anchors for link in links)


def test_numbers_are_those_of_the_assessment(assessed: Assessment, tmp_path: Path) -> None:
    page = _parse(write_report(assessed, tmp_path / "report.html"))
    words = " ".join(page.words)
    assert f"{100 * assessed.overall_accuracy:.1f}\N{NO-BREAK SPACE}%" in words
    assert f"{assessed.mean_f1:.3f}" in words
    assert "rows = map, columns = reference" in words
    assert assessed.legend.names[0] in words


def test_sampling_and_warnings_are_told(assessed: Assessment, tmp_path: Path) -> None:
    import dataclasses

    unknown = dataclasses.replace(assessed, sampling="unknown", warnings=("Beware of <this>.",))
    text = write_report(unknown, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The sampling design of the test points is unknown" in text
    assert "Beware of &lt;this&gt;." in text


def test_reading_names_the_right_classes(assessed: Assessment) -> None:
    """A fifth of the pixels were turned into crop: crop must be the class to distrust."""
    sentences = explain(assessed)
    assert any("Least reliable: crop" in sentence for sentence in sentences)
    assert any(re.search(r"the map shows crop where the reference is", s) for s in sentences)
    assert any("Do not compute areas from pixel counts" in s and "crop" in s for s in sentences)


def test_figures_are_saved_on_their_own(assessed: Assessment, tmp_path: Path) -> None:
    write_report(assessed, tmp_path / "r.html", figure_folder=tmp_path / "figures")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"map.png", "confusion.svg", "confusion.png", "areas.svg", "class_scores.png"} <= names
    assert not any("partial" in name for name in names)


def test_model_folder_adds_curves_and_calibration(assessed: Assessment, tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "training").mkdir(parents=True)
    rng = np.random.default_rng(0)
    calibration = fit_temperature(rng.dirichlet([1, 1], 300), rng.integers(0, 2, 300))
    description = {"bands": ["red"], "members": [{"kind": "forest", "weight": 1.0}], "seed": 7,
                   "calibration": json.loads(json.dumps(calibration.to_json()))}  # fmt: skip
    (model / "model.json").write_text(json.dumps(description), encoding="utf-8")
    rows = "step,loss,held_out_mean_f1\n1,0.9,\n2,0.5,0.4\n3,0.4,0.5\n"
    (model / "training" / "metrics.csv").write_text(rows, encoding="utf-8")
    page = _parse(write_report(assessed, tmp_path / "r.html", model=model))
    words = " ".join(page.words)
    assert calibration.reason.replace(" %", "\N{NO-BREAK SPACE}%") in words
    assert "mean F1 on held-out points" in words
    assert "forest (weight 1.00)" in words


def test_folder_without_model_is_refused(assessed: Assessment, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"holds no readable model\.json"):
        write_report(assessed, tmp_path / "r.html", model=tmp_path)
    assert not (tmp_path / "r.html").exists()


def test_missing_folder_is_named(assessed: Assessment, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_report(assessed, tmp_path / "nowhere" / "r.html")


def test_report_of_a_map_that_moved_is_still_written(assessed: Assessment, tmp_path: Path) -> None:
    import dataclasses

    moved = dataclasses.replace(assessed, map_path=str(tmp_path / "gone.tif"))
    assert "Accuracy of gone.tif" in write_report(moved, tmp_path / "r.html").read_text("utf-8")


def test_documents_of_any_content(tmp_path: Path) -> None:
    table = DataTable(
        "T", ["name", "share", "n"], [["a", 0.5, 1234], ["b", float("nan"), None]], [1]
    )
    section = Section("A <b> section", ["One."], ["Two."], tables=[table], folded=True)
    document = Document("Title & more", "sub", [Tile("1", "one")], [section])
    page = _parse(write_document(document, tmp_path / "d.html"))
    words = " ".join(page.words)
    assert "A <b> section" in words
    assert "50.0\N{NO-BREAK SPACE}%" in words
    assert "1,234" in words
    assert section.anchor == "a-b-section"
