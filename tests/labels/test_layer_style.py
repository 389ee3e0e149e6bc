from __future__ import annotations

import numpy as np
import pytest
import shapely

from geopointseg.errors import InputFileError
from geopointseg.labels.layer_style import (
    Category,
    Style,
    find_style,
    format_style,
    parse_style,
    read_style,
)
from geopointseg.labels.points import read_points

STYLE = Style(
    "cover", (Category("b", "Büsche & <Bäume>", "#1b7837"), Category("a", "Acker", "#c2a5cf"))
)

QGIS_316 = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.16-Hannover" styleCategories="AllStyleCategories">
  <renderer-v2 attr="&quot;cover&quot;" type="categorizedSymbol" forceraster="0">
    <categories>
      <category render="true" symbol="0" value="1" label="forest"/>
      <category render="true" symbol="1" value="2" label="water"/>
      <category render="true" symbol="2" value="" label="all other values"/>
    </categories>
    <symbols>
      <symbol alpha="1" type="marker" name="0"><layer class="SimpleMarker"><prop v="27,120,55,255" k="color"/></layer></symbol>
      <symbol alpha="1" type="marker" name="1"><layer class="SimpleMarker"><prop v="0,0,255,255" k="color"/></layer></symbol>
      <symbol alpha="1" type="marker" name="2"><layer class="SimpleMarker"><prop v="9,9,9,255" k="color"/></layer></symbol>
    </symbols>
  </renderer-v2>
</qgis>"""

QGIS_340 = """<qgis version="3.40.1-Bratislava">
  <renderer-v2 type="categorizedSymbol" attr="cover">
    <categories>
      <category type="string" value="a" label="Acker" symbol="0" uuid="{1}"/>
      <category type="List" label="Wald" symbol="1"><val type="string" value="b"/><val type="string" value="c"/></category>
      <category type="NULL" value="NULL" label="unknown" symbol="1"/>
    </categories>
    <symbols>
      <symbol name="0" type="marker"><data_defined_properties><Option type="Map"><Option name="name" value=""/></Option></data_defined_properties>
        <layer class="SimpleMarker"><Option type="Map">
          <Option type="QString" name="angle" value="0"/>
          <Option type="QString" name="color" value="194,165,207,255,rgb:0.76,0.65,0.81,1"/></Option></layer></symbol>
      <symbol name="1" type="line"><layer class="SimpleLine"><Option type="Map">
          <Option type="QString" name="line_color" value="27,120,55,255"/></Option></layer></symbol>
    </symbols>
  </renderer-v2>
</qgis>"""


def test_old_form_with_props_and_a_quoted_field():
    style = parse_style(QGIS_316)
    assert style == Style(
        "cover", (Category("1", "forest", "#1b7837"), Category("2", "water", "#0000ff"))
    )


def test_new_form_with_options_and_merged_categories():
    style = parse_style(QGIS_340)
    assert [c.value for c in style.categories] == ["a", "b", "c"]
    assert [c.color for c in style.categories] == ["#c2a5cf", "#1b7837", "#1b7837"]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "no xml",
        "<qgis/>",
        '<qgis><renderer-v2 type="singleSymbol"/></qgis>',
        '<!DOCTYPE q [<!ENTITY a "aaa">]><qgis><renderer-v2 type="categorizedSymbol" attr="&a;"/></qgis>',
    ],
)
def test_other_documents_are_no_style(document):
    assert parse_style(document) is None


def test_written_styles_are_read_back():
    assert parse_style(format_style(STYLE)) == STYLE


def test_text_classes_follow_the_order_names_and_colours_of_a_sidecar(write_layer):
    path = write_layer("a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), cover=["a", "b", "z"])
    path.with_suffix(".qml").write_text(format_style(STYLE), encoding="utf-8")
    legend = read_points(path).legend
    assert legend.names == ["Büsche & <Bäume>", "Acker", "z"]
    assert legend.codes.tolist() == [1, 2, 3]
    assert legend.colors[:2] == ["#1b7837", "#c2a5cf"]
    assert legend.colors[2] not in legend.colors[:2]


def test_integer_classes_take_names_and_colours_but_keep_their_codes(write_layer):
    path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), cover=[2, 1])
    path.with_suffix(".qml").write_text(QGIS_316, encoding="utf-8")
    points = read_points(path)
    assert points.codes.tolist() == [2, 1]
    assert points.legend.names == ["forest", "water"]


def test_a_style_for_another_field_is_ignored(write_layer):
    path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), cover=[7, 8], soil=["a", "b"])
    path.with_suffix(".qml").write_text(format_style(Style("soil", STYLE.categories)))
    assert read_points(path, class_field="cover").legend.names == ["7", "8"]


def test_the_style_tells_which_of_several_fields_holds_the_class(write_layer):
    path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), crop=["x", "y"], soil=["a", "b"])
    path.with_suffix(".qml").write_text(format_style(Style("soil", STYLE.categories)))
    assert read_points(path).class_field == "soil"


def test_labels_used_twice_are_told_apart_by_their_value(write_layer):
    path = write_layer("a.gpkg", shapely.points([1, 2, 3], [1, 2, 3]), cover=["a", "b", "c"])
    path.with_suffix(".qml").write_text(QGIS_340)
    assert read_points(path).legend.names == ["Acker", "Wald (b)", "Wald (c)"]


def test_a_style_file_can_be_named(write_layer, tmp_path):
    path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), cover=["a", "b"])
    other = tmp_path / "other.qml"
    other.write_text(format_style(STYLE), encoding="utf-8")
    assert read_points(path, style=other).legend.names == ["Büsche & <Bäume>", "Acker"]
    assert read_style(other) == STYLE
    assert find_style(path, "a") is None


def test_style_files_that_do_not_help_are_refused(tmp_path):
    with pytest.raises(InputFileError, match=r"style file '.*' does not exist"):
        read_style(tmp_path / "no.qml")
    path = tmp_path / "single.qml"
    path.write_text('<qgis><renderer-v2 type="singleSymbol"/></qgis>')
    with pytest.raises(
        InputFileError, match=r'no categorized style. Expected .* "Categorized" in QGIS'
    ):
        read_style(path)


def test_names_match_a_legend_through_the_labels_of_the_style(write_layer):
    from geopointseg.legend import Legend

    path = write_layer("a.gpkg", shapely.points([1, 2], [1, 2]), cover=["a", "b"])
    path.with_suffix(".qml").write_text(format_style(STYLE), encoding="utf-8")
    legend = Legend.from_names(["Acker", "Büsche & <Bäume>"], codes=[30, 40])
    points = read_points(path, legend=legend)
    np.testing.assert_array_equal(points.codes, [30, 40])
