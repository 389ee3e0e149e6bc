"""An output that names a file that the command reads is refused, whatever the two are, and the file stays as it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robustness.attempt import content_of, require_refusal, run_here
from tests.robustness.conftest import FILES
from tests.robustness.surface import LINES, OUTPUTS
from tests.robustness.test_bad_input import arguments_of, usual_files

pytestmark = pytest.mark.filterwarnings("ignore")

FOLDERS = {"folder", "any folder"}
MODEL_FILES = {"model": "model.json", "network": "model.safetensors"}


def _cases() -> Iterator[tuple[str, str, str]]:
    for command, line in LINES.items():
        written = [s for s, role in line.files.items() if role in OUTPUTS and role not in FOLDERS]
        read = [s for s, role in line.files.items() if role not in OUTPUTS]
        always = [s for s in read if f"{{{s}}}" in line.line]
        for output in written:
            yield from ((command, output, slot) for slot in always)


@pytest.mark.parametrize(("command", "output", "read"), list(_cases()))
def test_an_output_over_an_input(
    command: str, output: str, read: str, good: Path, place: Path
) -> None:
    line = LINES[command]
    files = usual_files(line, good, place / "out")
    role = line.files[read]
    own = place / "in" / FILES[role]
    (shutil.copytree if files[read].is_dir() else shutil.copyfile)(files[read], own)
    target = own / MODEL_FILES[role] if role in MODEL_FILES else own
    before = content_of(place)
    outcome = run_here(
        arguments_of(command, output, files | {read: own, output: target}, place / "out")
    )
    require_refusal(outcome, [target.name])
    assert content_of(place) == before


def test_the_style_of_an_input_is_kept(good: Path, place: Path) -> None:
    for name in ("area.gpkg", "area.qml"):
        shutil.copyfile(
            good / ("area.gpkg" if name == "area.gpkg" else "map.qml"), place / "in" / name
        )
    before = content_of(place)
    outcome = run_here([
        "predict", str(good / "model"), "--raster", str(good / "scene.tif"), "--aoi", str(place / "in" / "area.gpkg"),
        "-o", str(place / "in" / "area.tif"), "--progress", "none",
    ])  # fmt: skip
    require_refusal(outcome, ["area.qml"])
    assert content_of(place) == before


def test_a_folder_is_no_name_of_a_map(good: Path, place: Path) -> None:
    outcome = run_here(
        ["predict", str(good / "model"), "--raster", str(good / "scene.tif"), "-o", f"{place}/out/"]
    )
    require_refusal(outcome, ["out/"])
    assert list((place / "out").iterdir()) == []
