"""Classes of test points and map are brought together by name or by code, never by position."""

from __future__ import annotations

import numpy as np
import pytest

from geopointseg.assessment.class_matching import agree_by_name, match_legends
from geopointseg.errors import LegendError
from geopointseg.legend import Legend

ON_MAP = Legend.from_names(["water", "forest", "field"], codes=[10, 20, 30])


def test_names_win_where_codes_were_made_up() -> None:
    """A test file without water counts forest as 1 and field as 2."""
    matched = match_legends(ON_MAP, Legend.from_names(["Field", "forest"]), by_name=True)
    np.testing.assert_array_equal(matched.lookup, [2, 1])
    assert matched.legend == ON_MAP


def test_codes_win_where_the_field_is_an_integer() -> None:
    reference = Legend.from_names(["30", "10"], codes=[30, 10])
    np.testing.assert_array_equal(match_legends(ON_MAP, reference, by_name=False).lookup, [2, 0])


def test_classes_that_the_map_lacks_are_added_behind() -> None:
    matched = match_legends(ON_MAP, Legend.from_names(["water", "glacier"]), by_name=True)
    assert matched.legend.names == ["water", "forest", "field", "glacier"]
    assert matched.only_in_reference == ("glacier",)
    np.testing.assert_array_equal(matched.lookup, [0, 3])


def test_swapped_meaning_of_a_code_is_refused() -> None:
    swapped = Legend.from_names(["forest", "water"], codes=[10, 20])
    with pytest.raises(LegendError, match=r"code 10 is 'forest' in the reference and 'water' on"):
        match_legends(ON_MAP, swapped, by_name=False)


def test_other_spelling_of_a_name_is_no_swap() -> None:
    spelt = Legend.from_names(["open water", "woods"], codes=[10, 20])
    np.testing.assert_array_equal(match_legends(ON_MAP, spelt, by_name=False).lookup, [0, 1])


def test_no_class_in_common_is_refused() -> None:
    with pytest.raises(LegendError, match=r"holds the classes 1 moss, .* at least one class in"):
        match_legends(ON_MAP, Legend.from_names(["moss", "rock"]), by_name=True)


def test_map_without_legend_needs_codes() -> None:
    nameless = Legend.from_names(["10", "20"], codes=[10, 20])
    with pytest.raises(
        LegendError, match=r"The map has no legend: its classes are 10, 20, and those"
    ):
        match_legends(nameless, Legend.from_names(["water"]), by_name=True)
    coded = Legend.from_names(["water"], codes=[20])
    np.testing.assert_array_equal(match_legends(nameless, coded, by_name=False).lookup, [1])


TWO_SPELLINGS = Legend.from_names(["Forest", "forest", "Water", "dry land"], codes=[1, 2, 3, 4])


@pytest.mark.parametrize(
    ("names", "lookup", "strangers"),
    [
        (["forest", "Forest"], [1, 0], ()),
        (["WATER", "water", "Dry_Land"], [2, 2, 3], ()),
        (["FOREST", "Water"], [4, 2], ("FOREST",)),
    ],
)
def test_the_exact_name_comes_first_and_others_only_where_they_are_unique(
    names, lookup, strangers
) -> None:
    matched = match_legends(TWO_SPELLINGS, Legend.from_names(names), by_name=True)
    np.testing.assert_array_equal(matched.lookup, lookup)
    assert matched.only_in_reference == strangers


def test_two_spellings_that_are_swapped_are_refused() -> None:
    swapped = Legend.from_names(["forest", "Forest"], codes=[1, 2])
    with pytest.raises(LegendError, match=r"code 1 is 'forest' in the reference and 'Forest' on"):
        match_legends(TWO_SPELLINGS, swapped, by_name=False)
    other = Legend.from_names(["WATER"], codes=[3])
    np.testing.assert_array_equal(match_legends(TWO_SPELLINGS, other, by_name=False).lookup, [2])


def test_accents_match_in_either_encoding() -> None:
    on_map = Legend.from_names(["for\u00eat", "Straße", "\u0130\u00e7"])
    reference = Legend.from_names(["fore\u0302t", "STRASSE", "i\u00e7"])
    np.testing.assert_array_equal(match_legends(on_map, reference, by_name=True).lookup, [0, 1, 2])


def test_a_class_with_another_code_is_refused_also_where_that_code_is_free() -> None:
    on_map = Legend.from_names(["water", "forest"], codes=[1, 2])
    reference = Legend.from_names(["bare", "forest"], codes=[1, 4])
    with pytest.raises(
        LegendError, match="'forest' has the code 4 in the reference and 2 on the map"
    ):
        match_legends(on_map, reference, by_name=False)


def test_the_way_in_which_more_classes_agree_counts() -> None:
    german = Legend.from_names(["Wald", "Wasser", "Acker", "Gras"], codes=[1, 2, 3, 4])
    english = Legend.from_names(["forest", "water", "arable", "Gras"], codes=[1, 2, 3, 7])
    assert not agree_by_name(german, english)
    assert agree_by_name(german, Legend.from_names(["Acker", "Gras", "Moor"], codes=[7, 8, 1]))
    assert not agree_by_name(german, Legend.from_names(["1", "2"], codes=[1, 2]))
