"""What libraries warn of reaches the user as a sentence or not at all, never with a line of source code."""

from __future__ import annotations

import logging
import warnings

import click
import pytest
from rasterio.errors import NotGeoreferencedWarning

from geopointseg.cli import app as cli_app
from geopointseg.cli.invocation import common_options
from geopointseg.errors import DataWarning


@pytest.fixture
def stderr_of(monkeypatch, capsys):
    """Run a command that does something, and return what it wrote to stderr."""

    def call(action, *options: str) -> str:
        @click.command()
        @common_options
        def act(run):
            action()

        monkeypatch.setattr(cli_app._LazyGroup, "get_command", lambda *_: act)
        with pytest.raises(SystemExit):
            cli_app.main(["demo", *options])
        return capsys.readouterr().err

    return call


def warn(message: str, category: type[Warning] = UserWarning, file: str = "/lib/x.py"):
    return lambda: [warnings.warn_explicit(message, category, file, k) for k in (1, 2)]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (warn("The name 'a' was cleaned.", DataWarning), "warning: The name 'a' was cleaned.\n"),
        (warn("Field\n 'notes' was cut"), "warning: Field 'notes' was cut\n"),
        (warn("Dataset has no geotransform, gcps, or rpcs.", NotGeoreferencedWarning), ""),
        (warn("divide by zero", RuntimeWarning), ""),
        (warn("Text was cut", RuntimeWarning, "/lib/pyogrio/raw.py"), "warning: GDAL warns about a vector file: Text was cut\n"),
        (lambda: logging.getLogger("rasterio._env").warning("CPLE_AppDefined in /a/b.tif: odd"), ""),
    ],
)  # fmt: skip
def test_warnings_are_told_once_without_paths(stderr_of, action, told) -> None:
    assert stderr_of(action) == told
    assert "x.py" not in told


def test_missing_letters_get_an_advice(stderr_of) -> None:
    told = stderr_of(warn("Glyph 27700 (\\N{CJK UNIFIED IDEOGRAPH-6C34}) missing from font(s)."))
    assert " ".join(told.split()) == (
        "warning: The fonts of this machine lack some letters of the names, so the figures show boxes instead. Install a "
        "font that has them, such as Noto Sans, and run again."
    )


def test_debug_shows_where_a_warning_comes_from(stderr_of) -> None:
    assert "/lib/x.py:1: RuntimeWarning: old name" in stderr_of(
        warn("old name", RuntimeWarning), "--debug"
    )


def test_the_callers_way_of_showing_warnings_comes_back(stderr_of) -> None:
    before = warnings.showwarning
    stderr_of(lambda: None)
    assert warnings.showwarning is before
