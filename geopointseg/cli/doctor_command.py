"""The command that checks the installation: doctor."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from geopointseg.cli.help_page import ExampleCommand
from geopointseg.cli.invocation import Invocation, Table, common_options

_REQUIRED = (
    "torch", "torchgeo", "segmentation-models-pytorch", "lightning", "rasterio", "geopandas", "shapely",
    "fiona", "numpy", "scikit-learn", "safetensors",
)  # fmt: skip
_OPTIONAL = {"dask": "dask", "onnxruntime": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True)
class CheckedItem:
    """One checked part of the installation: what it is, what was found, and what to do if it is not right."""

    what: str
    found: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is right."""
        return not self.advice


def examine_environment() -> list[CheckedItem]:
    """Check Python, packages, coordinate systems, processors and disk."""
    findings = [_python()]
    findings += [_package(name) for name in _REQUIRED]
    findings += [_coordinate_systems(), _processor(), _disk(), *_known_faults()]
    return findings


def _python() -> CheckedItem:
    found = f"{platform.python_version()} at {sys.executable}"
    return CheckedItem(
        "Python", found, "" if sys.version_info >= (3, 12) else "Install Python 3.12."
    )


def _package(name: str) -> CheckedItem:
    try:
        return CheckedItem(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return CheckedItem(name, "missing", f"Install it: python -m pip install {name}")


def _coordinate_systems() -> CheckedItem:
    what = "coordinate systems"
    advice = "Unset PROJ_LIB, PROJ_DATA and GDAL_DATA, or reinstall rasterio."
    try:
        from rasterio.crs import CRS
        from rasterio.warp import transform

        x, _ = transform(CRS.from_epsg(4326), CRS.from_epsg(32633), [15.0], [50.0])[:2]
    except Exception as error:  # noqa: BLE001 - whatever is wrong with PROJ is the finding
        return CheckedItem(what, str(error), advice)
    if abs(x[0] - 500_000) > 1:
        return CheckedItem(what, f"longitude 15 in EPSG:32633 is {x[0]}, not 500000", advice)
    return CheckedItem(what, "EPSG:4326 to EPSG:32633 is right")


def _processor() -> CheckedItem:
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken installation of torch is the finding
        return CheckedItem("processor", str(error), "Reinstall torch.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return CheckedItem(
        "processor", f"{cores} cores, {_gpu_name() or 'no GPU'} (torch {torch.__version__})"
    )


def _gpu_name() -> str:
    try:
        import torch
    except ImportError:
        return ""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def _known_faults() -> list[CheckedItem]:
    """Return the installed versions with published faults."""
    from geopointseg.cli.known_versions import find_faults

    found = [CheckedItem("known fault", text, advice) for text, advice in find_faults()]
    return found or [CheckedItem("known faults", "none of the versions with published faults")]


def _disk() -> CheckedItem:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    return CheckedItem(
        "free disk", f"{free_gb:.0f} GB here", "" if free_gb > 1 else "Free some space."
    )


@click.command(
    "doctor",
    cls=ExampleCommand,
    examples=("geopointseg doctor",),
)
@common_options
def doctor_command(run: Invocation) -> None:
    """Check whether this installation is complete, and name what is missing."""
    from geopointseg import __version__

    findings = examine_environment()
    extras = {
        name: importlib.util.find_spec(module) is not None for name, module in _OPTIONAL.items()
    }
    result: dict[str, Any] = {
        "ok": all(f.ok for f in findings),
        "version": __version__,
        "interpreter": sys.executable,
        "device": _gpu_name() or "cpu",
        "findings": [asdict(f) | {"ok": f.ok} for f in findings],
        "extras": extras,
    }
    rows = [(f.what, "ok" if f.ok else "PROBLEM", f.found, f.advice) for f in findings]
    rows += [
        (f"extra: {n}", "installed" if there else "not installed", "", "")
        for n, there in extras.items()
    ]
    verdict = (
        "The installation is complete."
        if result["ok"]
        else "Something is missing; see the advice above."
    )
    run.finish(
        result,
        Table(f"geopointseg {__version__}", ["what", "state", "found", "advice"], rows),
        verdict,
    )
    if not result["ok"]:
        click.get_current_context().exit(1)
