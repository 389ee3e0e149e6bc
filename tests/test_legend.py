"""The legend translates between codes, indices, names and colours, and refuses what is ambiguous."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopointseg.class_colors import default_colors
from geopointseg.errors import LegendError
from geopointseg.legend import LONGEST_CLASS_NAME, Legend, LegendEntry
from geopointseg.model_document import MOST_CLASSES, read_model_document

unique_codes = st.lists(st.integers(0, 70_000), min_size=1, max_size=300, unique=True)


@given(unique_codes, st.data())
def test_encoding_and_decoding_are_inverse(codes, data):
    legend = Legend.from_names([f"class {c}" for c in codes], codes=codes)
    indices = data.draw(st.lists(st.integers(0, len(codes) - 1), max_size=20))
    decoded = legend.decode(indices)
    assert [codes[i] for i in indices] == decoded.tolist()
    assert legend.encode(decoded).tolist() == indices


def test_encode_keeps_the_shape_and_takes_codes_with_gaps():
    legend = Legend.from_names(["a", "b", "c"], codes=[255, 0, 20])
    np.testing.assert_array_equal(legend.encode([[0, 20], [255, 255]]), [[1, 2], [0, 0]])


def test_an_unknown_code_is_named_with_the_known_ones():
    legend = Legend.from_names(["water", "Wald"], codes=[10, 20])
    with pytest.raises(
        LegendError, match=r"The class code 15 is not in the legend \(10 water, 20 Wald\)"
    ):
        legend.encode([10, 15])


@pytest.mark.parametrize(
    ("names", "codes", "words"),
    [(["a", "a"], [1, 2], "name a occurs twice"), (["a", "b"], [7, 7], "code 7 occurs twice")],
)
def test_doubled_codes_and_names_are_refused(names, codes, words):
    with pytest.raises(LegendError, match=words):
        Legend.from_names(names, codes=codes)


def test_a_negative_code_and_a_malformed_colour_are_refused():
    with pytest.raises(LegendError, match="Codes must not be negative"):
        LegendEntry(-1, "a", "#000000")
    with pytest.raises(LegendError, match="Expected a colour like '#1b7837'"):
        LegendEntry(1, "a", "green")


def test_json_round_trip_keeps_everything():
    legend = Legend.from_names(["Gewässer", "林"], codes=[0, 300])
    assert Legend.from_json(legend.to_json()) == legend


def test_default_colours_are_all_different():
    colors = default_colors(300)
    assert len(set(colors)) == len(colors)
    assert Legend.from_names(["a"]).rgb.tolist() == [[0x44, 0x77, 0xAA]]


def test_a_name_may_be_as_long_as_a_model_folder_is_read_with(tmp_path):
    longest = Legend.from_names(["a" * LONGEST_CLASS_NAME, "b"])
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"legend": longest.to_json()}))
    assert Legend.from_json(read_model_document(path)["legend"]) == longest
    with pytest.raises(
        LegendError, match=r"name 'a{40}\.\.\.' has 1001 letters. Expected at most 1000; shorten it"
    ):
        Legend.from_names(["a" * (LONGEST_CLASS_NAME + 1)])


def test_rows_of_tables_show_characters_that_turn_the_text_around():
    legend = Legend.from_names(["\u202eyreve", "林"])
    assert [row[1] for row in legend.table_rows()] == ["\\u202eyreve", "林"]


@pytest.mark.parametrize(
    ("code", "said"), [(1.5, "the code 1.5 is no whole number"), ("1.5", "1.5"), ("x", "x")]
)
def test_a_code_of_a_document_is_a_whole_number(code, said):
    rows = [{"code": code, "name": "water", "color": "#0000ff"}]
    with pytest.raises(LegendError, match=rf"A legend row is damaged \(.*{said}.*\)"):
        Legend.from_json(rows)
    assert Legend.from_json([{**rows[0], "code": 2.0}]).codes.tolist() == [2]


def test_more_classes_than_a_model_can_have_are_refused():
    Legend.from_names([f"class {k}" for k in range(MOST_CLASSES)])
    with pytest.raises(LegendError, match=r"has 1025 classes\. Expected at most 1024; use a field"):
        Legend.from_names([f"class {k}" for k in range(MOST_CLASSES + 1)])


@pytest.mark.parametrize("options", [{"codes": [1, 2]}, {"colors": ["#000000", "#ffffff"]}])
def test_names_codes_and_colours_belong_together(options) -> None:
    with pytest.raises(LegendError, match="Expected a code and a colour for each name"):
        Legend.from_names(["a"], **options)


@pytest.mark.parametrize("code", [1.5, "x", None, float("nan")])
def test_codes_are_whole_numbers(code) -> None:
    with pytest.raises(LegendError, match="is no whole number"):
        Legend.from_names(["a"], codes=[code])
    assert Legend.from_names(["a", "b"], codes=iter(["3", 4.0])).codes.tolist() == [3, 4]
