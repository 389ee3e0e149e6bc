"""The promised API: complete, light to import, and unharmed by another program's environment."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

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
    program = """
import geopointseg as gps
from geopointseg.landscape import write_scene
gps.Points.from_arrays([0.0], [0.0], [0], gps.Legend.from_names(["a"]), 32633)
landscape = gps.make_landscape(40, 40)
write_scene(landscape, "s.tif")
print(gps.Scene.open("s.tif").grid.crs.to_epsg())
"""
    done = run_python(program, tmp_path)
    assert done.stdout.strip() == "32633", done.stderr
    program = "from geopointseg.cli import main; main(['doctor'])"
    done = run_python(program, tmp_path)
    assert done.returncode == 0, done.stderr


FOREIGN = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA")


def run_python(program, tmp_path, **variables):
    """Run a program where another installation exports its folders."""
    foreign = dict.fromkeys(FOREIGN, str(tmp_path / "foreign"))
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | foreign | variables,
        cwd=tmp_path,
    )


STATE = """
import os, signal, gc, sys, logging, threading, locale
def state():
    import rasterio.env
    return {
        "environment": {k: v for k, v in os.environ.items() if k not in THEIRS},
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "threads": threading.active_count(), "logging": logging.root.level, "limit": sys.getrecursionlimit(),
        "locale": locale.setlocale(locale.LC_ALL), "cache": rasterio.env.get_gdal_config("GDAL_CACHEMAX"),
    }
# set by pyogrio, torch and lightning
THEIRS = {"GDAL_CURL_CA_BUNDLE", "PROJ_CURL_CA_BUNDLE", "TORCHINDUCTOR_CACHE_DIR", "PYTORCH_NVML_BASED_CUDA_CHECK"}
before = state()
"""


def test_importing_changes_nothing_of_the_process(tmp_path):
    program = (
        STATE
        + """
import importlib, pkgutil, geopointseg
for name in geopointseg.__all__:
    getattr(geopointseg, name)
for module in pkgutil.walk_packages(geopointseg.__path__, "geopointseg."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = state()
print({name: (before[name], after[name]) for name in before if before[name] != after[name]})
"""
    )
    done = run_python(program, tmp_path)
    assert done.stdout.strip() == "{}", done.stderr


def test_the_command_puts_the_environment_back(tmp_path):
    program = (
        STATE
        + """
from geopointseg.cli import main
for limits in ({}, {"GDAL_CACHEMAX": "128"}):
    os.environ.update(limits)
    before = dict(os.environ)
    try:
        main(["points", "check", "none.gpkg", "--raster", "none.tif"])
    except SystemExit:
        pass
    after = {k: v for k, v in os.environ.items() if k not in THEIRS}
    print({k: v for k, v in before.items() if k not in THEIRS} == after)
"""
    )
    assert run_python(program, tmp_path).stdout.split() == ["True", "True"]


@pytest.mark.parametrize(("switch", "kept"), [("", False), ("keep", True)])
def test_the_switch_keeps_the_callers_process(tmp_path, switch, kept):
    program = """
import os
import re
from geopointseg.model.allocator import keep_freed_memory
from geopointseg.process import use_own_geodata
use_own_geodata()
print("PROJ_LIB" in os.environ, keep_freed_memory())
"""
    found = run_python(program, tmp_path, GEOPOINTSEG_PROCESS=switch).stdout.split()
    assert found[0] == str(kept)
    assert found[1] == "False" or not kept


def test_all_modules_import():
    importlib.import_module("geopointseg.cli.command_reference")


def test_the_map_of_the_readme_names_files_that_exist():
    root = Path(__file__).parents[2]
    development = (root / "README.md").read_text(encoding="utf-8").split("## Development")[1]
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|json))`", development)
    missing = [
        name
        for name in named
        if not any((root / top / name).exists() for top in ("", "geopointseg"))
    ]
    assert len(named) > 20
    assert missing == []
