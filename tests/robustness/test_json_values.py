"""Every value of JSON documents from unknown sources, replaced by values of other types and sizes: read or refused in words."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geopointseg.bands.opening import open_scenes
from geopointseg.bands.stac import read_stac_scenes
from geopointseg.errors import GeopointsegError
from geopointseg.lab.color_palette import read_palette
from geopointseg.lab.synthetic_embedding import make_embedding, write_quantized, write_zarr
from geopointseg.model.bundle import ModelBundle
from tests.robustness.attempt import CODE_WORDS

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
