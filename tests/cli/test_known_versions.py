"""doctor names installed versions with published faults."""

from __future__ import annotations

import importlib.metadata

import pyogrio
import pytest

from geopointseg.cli.doctor_command import examine_environment
from geopointseg.cli.known_versions import KNOWN_FAULTS, find_faults


@pytest.mark.parametrize(
    ("library", "version", "is_faulty"),
    [
        ("torch", "2.5.1", True), ("torch", "2.6.0", False), ("torch", "2.6.0+cpu", False), ("GDAL", "3.6.0", True),
        ("GDAL", "3.6.1", False), ("GDAL", "3.5.3", False), ("pillow", "11.2.1", True), ("pillow", "11.3.0", False),
        ("pillow", "10.2.0", True), ("jinja2", "3.1.5", True), ("onnx", "1.15.0", True), ("onnx", "1.17.0", False),
        ("lightning", "2.2.5", True), ("torch", "unknown", False),
        ("zarr", "3.0.7", True), ("zarr", "3.0.8", False), ("zarr", "2.18.7", False),
    ],
)  # fmt: skip
def test_versions_with_faults(library, version, is_faulty):
    assert (
        any(known.has(version) for known in KNOWN_FAULTS if known.library == library) is is_faulty
    )


def test_doctor_names_the_fault_and_what_to_do(monkeypatch):
    installed = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "2.5.0" if name == "torch" else installed(name)
    )
    monkeypatch.setattr(pyogrio, "__gdal_version_string__", "3.6.0")
    assert [advice for _, advice in find_faults()] == [
        "Update it: pip install --upgrade torch",
        "Update it: pip install --upgrade pyogrio",
    ]
    rows = [item for item in examine_environment() if item.what == "known fault"]
    assert rows[0].found == (
        "torch 2.5.0: a file of weights can run code although torch.load is told weights_only (CVE-2025-32434)"
    )
    assert not rows[0].ok


def test_this_installation_has_no_known_fault():
    assert find_faults() == []
