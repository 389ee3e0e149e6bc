"""Names are cleaned on reading, and compared exactly before they are compared loosely."""

from __future__ import annotations

import unicodedata
import warnings
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopointseg.errors import DataWarning
from geopointseg.name import NameTable, allowed_in_xml, clean_name, fold_name


@given(st.text(alphabet=st.characters()))
def test_cleaned_names_parse_in_any_xml_document_and_stay_as_they_are(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        cleaned = clean_name(name)
    element = ET.Element("a", name=cleaned)
    element.text = cleaned
    found = ET.fromstring(ET.tostring(element))
    assert found.get("name") == cleaned
    assert (found.text or "") == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert clean_name(cleaned) == cleaned


@given(st.text(alphabet=st.characters()))
def test_a_document_parses_whatever_was_written_into_it(text: str) -> None:
    element = ET.Element("a", name=text)
    element.text = text
    ET.fromstring(allowed_in_xml(ET.tostring(element, encoding="unicode")))


def test_removed_characters_are_told() -> None:
    with pytest.warns(DataWarning) as told:
        assert clean_name("dry\x01land\ufffe\ud800") == "dryland"
    assert str(told[0].message) == (
        r"The name 'dry\x01land\ufffe\ud800' holds characters that XML 1.0 forbids, so no style or metadata could hold "
        "it. They are removed; it is read as 'dryland'."
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"), ("I\u015eIK", "\u0131\u015f\u0131k"), ("İğne", "iğne"), ("caf\u00e9", "CAFE\u0301"), ("\uff37\uff41\uff54\uff45\uff52", "water"),
        ("dry  land", "Dry_Land"), ("\ufb01eld", "FIELD"), ("\u03a3\u0391\u03a3", "\u03c3\u03b1\u03c2"), ("a\u00a0b", "a b"), ("soft\u00adhyphen", "softhyphen"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)  # fmt: skip
def test_spellings_that_are_alike(one: str, other: str) -> None:
    assert fold_name(one) == fold_name(other)
    assert NameTable(["x", one]).find(other) == 1
    assert NameTable([one, "x", other]).find(other) == 2


@pytest.mark.parametrize(
    ("one", "other"), [("a", "á"), ("o", "ö"), ("dryland", "dry land"), ("1", "\u0661")]
)
def test_spellings_that_are_not(one: str, other: str) -> None:
    assert NameTable([one]).find(other) is None


def test_decomposed_names_are_exact() -> None:
    table = NameTable(["cafe\u0301", "CAF\u00c9"])
    assert table.find("caf\u00e9") == 0
    assert table.find("Caf\u00e9") is None
