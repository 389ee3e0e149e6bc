"""Every value of JSON documents from unknown sources, replaced by values of other types and sizes: read or refused in words."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from rasterio.windows import Window

from geopointseg.bands.opening import open_scenes
from geopointseg.bands.stac import read_stac_scenes
from geopointseg.errors import GeopointsegError
from geopointseg.lab.color_palette import read_palette
from geopointseg.lab.synthetic_embedding import make_embedding, write_quantized, write_zarr
from geopointseg.model.bundle import ModelBundle
from tests.robustness.attempt import ADVICE, CODE_WORDS, Outcome, run_here

pytestmark = pytest.mark.filterwarnings("ignore")

MISSING = object()
VALUES = (MISSING, None, 7, -1, 0, "x", "", [], {}, [7], [None], {"a": 7}, True, 1e308, math.inf, math.nan, 10**400)  # fmt: skip
LARGE_PARTS = {"config", "scenes", "training_points", "versions"}
"""Parts of a model's description that have many values of one kind."""

Document = tuple[Path, Any, Callable[[], object]]
"""A file, its content, and what reads it."""


def _stac_item(folder: Path, good: Path) -> Document:
    bands = [{"name": f"b{k}", "common_name": "", "center_wavelength": 0.4, "nodata": 0, "scale": 2.0, "offset": 1.0} for k in range(4)]  # fmt: skip
    asset = {"href": str(good / "scene.tif"), "type": "image/tiff", "roles": ["data"]}
    item = {
        "type": "Feature", "id": "a", "properties": {"datetime": "2020-01-01T00:00:00Z"},
        "assets": {"data": asset | {"eo:bands": bands, "raster:bands": bands[:1] * 4}},
    }  # fmt: skip
    path = folder / "item.json"
    return path, {"type": "FeatureCollection", "features": [item]}, lambda: read_stac_scenes(path)


def _limits(folder: Path, good: Path) -> Document:
    write_quantized(make_embedding(20, 20, dimensions=3), folder / "made")
    path = folder / "made" / "quantization.json"
    return path, json.loads(path.read_text()), lambda: open_scenes([folder / "made"])


def _zarr_attributes(folder: Path, good: Path) -> Document:
    pytest.importorskip("zarr")
    store = write_zarr(make_embedding(20, 20, dimensions=3), folder / "a.zarr")
    path = store / "utm33" / "zarr.json"
    return path, json.loads(path.read_text()), lambda: open_scenes([store])


def _model(folder: Path, good: Path, name: str = "model") -> Document:
    shutil.copytree(good / name, folder / name, copy_function=os.link)
    path = folder / name / "model.json"
    content = json.loads(path.read_text())
    path.unlink()
    small = {k: type(v)() if k in LARGE_PARTS else v for k, v in content.items()}
    return path, small | {"legend": content["legend"]}, lambda: repr(ModelBundle.load(path.parent))


def _network_members(folder: Path, good: Path) -> Document:
    return _model(folder, good, "network")


def _palette(folder: Path, good: Path) -> Document:
    path = folder / "palette.json"
    return path, json.loads((good / "palette.json").read_text())[:2], lambda: read_palette(path)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each value; of the rows of a list, the first."""
    yield place
    rows = value.items() if isinstance(value, dict) else ()
    rows = enumerate(value[:1]) if isinstance(value, list) else rows
    for key, row in rows:
        yield from _places(row, (*place, key))


def _with(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return None if value is MISSING else value
    changed = copy.deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return changed


@pytest.mark.parametrize(
    "make", [_stac_item, _limits, _zarr_attributes, _model, _network_members, _palette]
)
def test_another_value_is_read_or_refused(
    make: Callable[[Path, Path], Document], good: Path, tmp_path: Path
) -> None:
    path, document, read = make(tmp_path, good)
    path.write_text(json.dumps(document))
    read()
    refused = 0
    places = list(_places(document))
    if make is _network_members:  # a network takes long to build
        places = [place for place in places if place[:1] == ("members",)]
    for place in places:
        for value in VALUES:
            path.write_text(json.dumps(_with(document, place, value)))
            try:
                read()
            except Exception as error:
                refused += 1
                is_told = isinstance(error, GeopointsegError) and not CODE_WORDS.search(str(error))
                if not is_told:
                    raise AssertionError(f"{value!r:.40} at {place}: {error!r}") from error
    assert refused > len(VALUES)


USED_VALUES = (None, -1, 1.5, "x", [], [None], {"a": 7}, 1e308, math.nan, 10**400)
PYTHON_WORDS = re.compile(
    r"could not convert|must be (real|str|int)|not subscriptable|object is not|takes .* argument|out of range|broadcast|inhomogeneous"
)
COMMANDS = {
    "predict": ("{model}", "--raster", "{folder}/scene.tif", "-o", "{folder}/out.tif", "--device", "cpu"),
    "assess": ("{folder}/map.tif", "--points", "{good}/points.gpkg", "--force", "--model", "{model}", "-o", "{folder}/out.html"),
    "export": ("{model}", "-o", "{folder}/out.onnx"),
    "suggest": ("{model}", "--raster", "{folder}/scene.tif", "--count", "2", "--min-distance-m", "5", "-o", "{folder}/out.gpkg"),
}  # fmt: skip
UNREAD = {
    "assess": {
        "config",
        "legend",
        "normalization",
        "points",
        "scenes",
        "versions",
        "format",
        "style",
    }
}
"""Parts that a command checks as all others do, and does not use: one value of each is enough."""


def _cut_scene(folder: Path, good: Path) -> None:
    """Write 32 x 32 pixels of the scene."""
    window = Window(0, 0, 32, 32)
    with rasterio.open(good / "scene.tif") as scene:
        profile = scene.profile | {"width": 32, "height": 32}
        with rasterio.open(folder / "scene.tif", "w", **profile) as part:
            part.write(scene.read(window=window))
            part.descriptions = scene.descriptions


def _full_model(folder: Path, good: Path) -> tuple[Path, Any]:
    path, _, _ = _model(folder, good)
    content = json.loads((good / "model" / "model.json").read_text())
    content["config"] = {name: content["config"][name] for name in ("scene", "prediction")}
    content["points"]["per_class"] = {"crop": 1}
    return path, content


def _is_in_words(outcome: Outcome) -> bool:
    """Return whether a run succeeded, or ended in one sentence with advice and without words of Python."""
    told = outcome.out + outcome.err
    in_code = CODE_WORDS.search(told) or PYTHON_WORDS.search(told)
    is_helpful = outcome.code == 0 or (outcome.code == 1 and ADVICE.search(outcome.sentence))
    return bool(is_helpful and not in_code)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_use_or_refuse_another_value_of_a_model(
    command: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOPOINTSEG_CACHE", str(tmp_path / "cache"))
    _cut_scene(tmp_path, good)
    path, document = _full_model(tmp_path, good)
    path.write_text(json.dumps(document))
    names = {"model": path.parent, "folder": tmp_path, "good": good}
    shutil.copy(good / "map.tif", tmp_path / "map.tif")
    arguments = [command, *(part.format(**names) for part in COMMANDS[command])]
    usual = run_here(arguments)
    assert usual.code == (1 if command == "export" else 0)  # a forest has no network
    failed = []
    for place in filter(None, _places(document)):
        few = place[0] in UNREAD.get(command, ())
        for value in USED_VALUES[:1] if few else USED_VALUES:
            path.write_text(json.dumps(_with(document, place, value)))
            for old in tmp_path.glob("out*"):
                old.unlink()
            outcome = run_here(arguments)
            if outcome != usual and not _is_in_words(outcome):
                failed.append(f"{value!r:.40} at {place}: {outcome}")
    assert not failed, "\n".join(failed)
