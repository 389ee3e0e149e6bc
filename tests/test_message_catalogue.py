"""Every message has one entry on the troubleshooting page, and errors lead to it where the site is known."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from pathlib import Path

import pytest

from geopointseg import errors
from geopointseg.cli import app as cli_app
from geopointseg.message_catalogue import Message, find_messages, link_to

ROOT = Path(__file__).parents[1]
MESSAGES = find_messages()
SITE = "https://example.org/docs"
PAGE = f"{SITE}/how-to/troubleshooting.html"
NO_LAYER = "'a b.gpkg' holds 2 layers ('x', 'y'). Expected one, or the name of the one that holds the points; name it with `layer=`."


def said(message: Message) -> str:
    """Return a message as the package says it, with a value at each place."""
    return re.sub("\u2039[^\u203a]*\u203a", "7", message.text)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOPOINTSEG_SITE", f"{SITE}/")


def test_messages_are_found_once_each_with_an_anchor_of_its_own() -> None:
    assert (
        len({m.text for m in MESSAGES}) == len({m.anchor for m in MESSAGES}) == len(MESSAGES) > 400
    )
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", m.anchor) for m in MESSAGES)
    [message] = [
        m
        for m in MESSAGES
        if m.text == "The style file '\u2039path\u203a' does not exist. Check the path."
    ]
    assert (message.anchor, message.kind) == (
        "the-style-file-does-not-exist-check-the",
        "InputFileError",
    )
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    silent = {"GeopointsegError", "Cancelled", "DataWarning", "Iterable"}
    assert {m.kind for m in MESSAGES} >= {
        k for k in kinds - silent if vars(errors)[k].__module__ == errors.__name__
    }


@pytest.mark.usefixtures("site")
def test_each_message_with_values_leads_to_its_entry() -> None:
    for message in MESSAGES:
        address, _, anchor = link_to(said(message)).partition("#")
        assert address == PAGE
        [entry] = [m for m in MESSAGES if m.anchor == anchor]
        assert entry is message or entry.fits(said(message)), message.text
    assert sum(link_to(said(m)).endswith(f"#{m.anchor}") for m in MESSAGES) > 0.98 * len(MESSAGES)
    assert link_to("Nothing of the kind.") == PAGE


def test_the_page_has_each_entry_once_under_the_same_anchor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    tables = importlib.import_module("package_tables")
    monkeypatch.delitem(sys.modules, "package_tables")
    sections = tables.Messages.run(None)
    shown = [
        i
        for section in sections
        for item in section.findall(tables.nodes.list_item)
        for i in item["ids"]
    ]
    assert sorted(shown) == sorted(m.anchor for m in MESSAGES)
    text = "\n".join(section.astext() for section in sections)
    assert "name it with --layer (Python: layer=)." in text
    assert "`" not in text


@pytest.mark.parametrize("address", [SITE, "build/docs"])
def test_the_link_ends_an_error_in_a_shell_and_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    address: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    error = errors.PointsError(NO_LAYER)
    anchor = "#holds-layers-expected-one-or-the-name-of"
    assert "".join(traceback.format_exception(error)).endswith(f"{NO_LAYER}\n")
    monkeypatch.setenv("GEOPOINTSEG_SITE", address)
    start = SITE if "://" in address else (tmp_path / address).as_uri()
    error = errors.PointsError(NO_LAYER)
    told = "".join(traceback.format_exception(error)).splitlines()
    assert told[-2:] == [
        f"geopointseg.errors.PointsError: {NO_LAYER}",
        f"{start}/how-to/troubleshooting.html{anchor}",
    ]
    assert str(error) == NO_LAYER
    error.add_note("a note of somebody else")
    assert len(error.__notes__) == 2
    with pytest.raises(SystemExit):
        cli_app.main(["points", "check", "none.gpkg", "--raster", "none.tif"])
    last = capsys.readouterr().err.split()[-1]
    assert last == f"{start}/how-to/troubleshooting.html#the-does-not-exist-check-the-path"
    with pytest.raises(SystemExit):
        cli_app.main(["points", "split", "points.gpkg", "-o", "split.gpkg"])
    assert capsys.readouterr().err.endswith(
        "troubleshooting.html#give-either-folds-k-or-test-fraction-f\n"
    )
