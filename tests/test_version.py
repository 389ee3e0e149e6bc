"""One version: `geopointseg.__version__`, which the build reads; files that cannot read it repeat it."""

import configparser
from pathlib import Path

import pytest

from geopointseg import __version__

ROOT = Path(__file__).parents[1]


def test_files_that_repeat_the_version_agree() -> None:
    plugin = configparser.ConfigParser(interpolation=None)
    if not plugin.read(ROOT / "qgis_plugin" / "metadata.txt", encoding="utf-8"):
        pytest.skip("the plugin is not part of a source distribution")
    assert plugin["general"]["version"] == __version__
    assert plugin["general"]["changelog"].startswith(__version__)
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}, " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
