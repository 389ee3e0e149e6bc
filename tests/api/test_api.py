"""The promised API: complete, light to import, and unharmed by another program's environment."""

import importlib
import os
import subprocess
import sys

import pytest

import geopointseg


@pytest.mark.parametrize("name", geopointseg.__all__)
def test_every_promised_name_is_there(name):
    assert getattr(geopointseg, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        geopointseg.nonsense  # noqa: B018 - the access is the test


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("geopointseg", {"torch", "rasterio", "numpy", "geopandas"}),
        ("geopointseg.cli", {"torch", "rasterio", "numpy", "geopandas", "rich.progress"}),
        ("geopointseg.labels.points", {"torch", "torchgeo", "lightning"}),
        ("geopointseg.raster.class_map", {"torch", "torchgeo", "lightning", "geopandas"}),
        ("geopointseg.assessment.accuracy", {"torch", "torchgeo", "lightning"}),
        ("geopointseg.prediction.predictor", {"torchgeo", "lightning", "geopointseg.learning"}),
    ],
)
def test_importing_stays_light(module, banned):
    program = f"import sys, {module}; print(' '.join(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert banned.isdisjoint(done.stdout.split())


def test_another_installations_geodata_does_no_harm(tmp_path):
    program = (
        "import geopointseg; from rasterio.crs import CRS; print(CRS.from_epsg(32633).to_epsg())"
    )
    foreign = dict.fromkeys(("PROJ_LIB", "PROJ_DATA", "GDAL_DATA"), str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | foreign,
    )
    assert done.stdout.strip() == "32633", done.stderr


def test_all_modules_import():
    importlib.import_module("geopointseg.cli.reference")
