"""Test points are compared with the training points in the model's folder, wherever that may be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geopointseg.assessment import training_points
from geopointseg.assessment.accuracy import assess
from geopointseg.assessment.location_digest import LARGEST_SAMPLE, encode_locations
from geopointseg.assessment.map_origin import FOLDER_TAG, describe_folders, fingerprint_folder
from geopointseg.assessment.training_points import OLD_TAG, keep_points
from geopointseg.errors import Cancelled, InputFileError, PointsError
from geopointseg.labels.points import Points
from geopointseg.legend import Legend
from geopointseg.progress import Event, Reporter
from geopointseg.raster.class_map import write_class_map
from geopointseg.raster.grid import Grid

LEGEND = Legend.from_names(["water", "forest", "field"], codes=[0, 20, 30])
GRID = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_700_000), 60, 80)
MAPPED = np.kron(np.random.default_rng(0).integers(0, 3, (6, 8)), np.ones((10, 10), dtype=np.int64))
OLD_TEXT = "8xOMKhGNeIfGLNC+RDo1iCxaeGVF8PuwmmZBctTzW1LQ3PQ="
"""What geopointseg 0.1 wrote for the first seven points."""
NOT_CHECKED = "Whether test points are training points was not checked"
pytestmark = pytest.mark.filterwarnings("ignore")


def draw(count: int, seed: int = 2) -> Points:
    flat = np.random.default_rng(seed).choice(MAPPED.size, count, replace=False)
    x, y = GRID.pixel_to_world(*np.divmod(flat, 80) + np.full((2, 1), 0.5))
    return Points.from_arrays(x, y, MAPPED.ravel()[flat], LEGEND, GRID.crs)


POINTS = draw(300)
SEEN = POINTS.select(np.arange(300) < 7)


def write_model(folder: Path, known: Any, name: str = "") -> str:
    (folder / "training").mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"training_points": known, "name": name}))
    return fingerprint_folder(folder)


def write_map(path: Path, fingerprint: str, tags: Mapping[str, str]) -> Path:
    return write_class_map(path, MAPPED, GRID, LEGEND, fingerprint=fingerprint, tags=tags)


def digests_of(points: Points) -> dict[str, Any]:
    return encode_locations(points.x, points.y, points.crs)


@pytest.mark.parametrize("kept", ["points", "places", "digests", "old text"])
def test_training_points_are_refused_unless_forced(
    tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: Any = digests_of(SEEN) if kept == "digests" else ""
    if kept == "old text":  # of all seven, as geopointseg 0.1 wrote it
        known = OLD_TEXT
    print_ = write_model(tmp_path / "m", known)
    if kept in ("points", "places"):
        monkeypatch.setattr(training_points, "LARGEST_COUNT", 100 if kept == "points" else 6)
        keep_points(SEEN, tmp_path / "m" / "training")
    path = write_map(tmp_path / "map.tif", print_, {FOLDER_TAG: '["m"]'})
    moved = POINTS.to_crs(CRS.from_epsg(3857))
    found = "At least 6" if kept == "places" else "7"
    with pytest.raises(
        PointsError, match=rf"^{found} of 300 test points are training points of .* `force=True`"
    ):
        assess(path, moved)
    forced = assess(path, moved, force=True)
    count = int(found.rsplit(maxsplit=1)[-1])
    assert forced.training_points == forced.to_json()["points"]["training_points"] == count
    assert f"{found} of 300 test points were training points" in str(forced)
    others = moved.select(np.arange(300) >= 7)
    clean = assess(path, others)
    assert clean.training_points == 0
    sample = " (a sample of these was compared)" if kept == "places" else ""
    assert f"No test point is a training point of the map's model{sample}." in clean.sentences()


def test_a_sample_of_digests_finds_at_least_some(tmp_path: Path) -> None:
    print_ = write_model(tmp_path / "m", digests_of(POINTS))
    path = write_map(tmp_path / "map.tif", print_, {FOLDER_TAG: '["m"]'})
    with pytest.raises(PointsError, match=rf"^At least {LARGEST_SAMPLE} of 300 test points are"):
        assess(path, POINTS)


def test_map_and_model_are_found_when_moved_together(tmp_path: Path) -> None:
    print_ = write_model(tmp_path / "old" / "models" / "m", digests_of(SEEN))
    (tmp_path / "old" / "maps").mkdir()
    tag = describe_folders([tmp_path / "old" / "models" / "m"], tmp_path / "old" / "maps" / "a.tif")
    assert tag == '["../models/m"]'
    write_map(tmp_path / "old" / "maps" / "a.tif", print_, {FOLDER_TAG: tag})
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(PointsError, match=r"^7 of 300"):
        assess(tmp_path / "new" / "maps" / "a.tif", POINTS)
    (tmp_path / "new" / "models" / "m").rename(tmp_path / "away")
    assessed = assess(tmp_path / "new" / "maps" / "a.tif", POINTS)
    assert assessed.training_points is None
    assert assessed.to_json()["points"]["training_points"] is None
    place = tmp_path / "new" / "models" / "m"
    assert (
        f"{NOT_CHECKED}: the model that made the map is no longer in '{place}'. Give the folder of "
        "its model to have that checked."
    ) in assessed.sentences()
    with pytest.raises(PointsError, match=r"^7 of 300"):
        assess(tmp_path / "new" / "maps" / "a.tif", POINTS, model=tmp_path / "away")


def test_what_cannot_be_checked_is_said(tmp_path: Path) -> None:
    print_ = write_model(tmp_path / "m", digests_of(SEEN))
    write_model(tmp_path / "other", digests_of(SEEN), name="other")
    foreign = write_map(tmp_path / "foreign.tif", "", {})
    assert f"{NOT_CHECKED}: the map does not say which model made it." in str(
        assess(foreign, POINTS)
    )
    placeless = write_map(tmp_path / "placeless.tif", print_, {})
    assert "the map does not say where its model is." in str(assess(placeless, POINTS))
    wrong = assess(placeless, POINTS, model=tmp_path / "other")
    assert f"the map was made by another model than '{tmp_path / 'other'}' (finger" in str(wrong)
    assert wrong.training_points is None
    replaced = write_map(tmp_path / "replaced.tif", print_, {FOLDER_TAG: '["other"]'})
    assert f"the model in '{tmp_path / 'other'}' is another one than the one that made" in str(
        assess(replaced, POINTS)
    )
    silent = write_model(tmp_path / "silent", "")
    path = write_map(tmp_path / "silent.tif", silent, {FOLDER_TAG: '["silent"]'})
    assert "silent' keeps no readable training points." in str(assess(path, POINTS))
    with pytest.raises(InputFileError, match=r"holds no readable model\.json"):
        assess(placeless, POINTS, model=tmp_path / "nowhere")
    with pytest.raises(PointsError, match=r"^7 of 300"):  # whoever names a model for such a map
        assess(foreign, POINTS, model=tmp_path / "m")


def test_all_models_of_a_map_are_asked(tmp_path: Path) -> None:
    prints = [
        write_model(tmp_path / name, digests_of(part), name)
        for name, part in (
            ("a", SEEN.select(np.arange(7) < 3)),
            ("b", SEEN.select(np.arange(7) >= 3)),
        )
    ]
    tags = {FOLDER_TAG: describe_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "m.tif")}
    path = write_map(tmp_path / "m.tif", ",".join(prints), tags)
    with pytest.raises(PointsError, match=r"^7 of 300"):
        assess(path, POINTS)
    with pytest.raises(PointsError, match=r"^At least 4 of 300"):
        assess(path, POINTS, model=tmp_path / "b")
    clean = assess(path, POINTS.select(np.arange(300) >= 7), model=[tmp_path / "b"])
    assert clean.training_points is None
    assert NOT_CHECKED in str(clean)


def test_old_maps_carry_their_training_points(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", "abc", {OLD_TAG: OLD_TEXT})
    with pytest.raises(PointsError, match=r"^7 of 300"):
        assess(path, POINTS)
    assert assess(path, POINTS.select(np.arange(300) >= 7)).training_points == 0


@pytest.mark.parametrize(
    ("folder", "output", "told"),
    [
        ("/data/models/m", "/data/maps/a.tif", "../models/m"),
        ("/data/m", "/data/a.tif", "m"),
        ("/home/anna/models/m", "/home/anna/maps/a.tif", "../models/m"),
        ("/home/anna/models/m", "/data/a.tif", "~/models/m"),
        ("/home/anna/models/m", "/home/bert/a.tif", "~/models/m"),
        ("/models/m", "/home/anna/a.tif", "/models/m"),
    ],
)
def test_places_of_models_do_not_tell_the_users_name(
    folder: str, output: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("USERPROFILE", "/home/anna")
    assert json.loads(describe_folders([folder], Path(output))) == [told]


def test_comparing_tells_its_progress_and_can_be_cancelled(tmp_path: Path) -> None:
    class Listener:
        def __init__(self) -> None:
            self.events: list[Event] = []

        def emit(self, event: Event) -> None:
            self.events.append(event)

        def close(self) -> None:
            pass

    print_ = write_model(tmp_path / "m", digests_of(SEEN))
    path = write_map(tmp_path / "map.tif", print_, {FOLDER_TAG: '["m"]'})
    listener = Listener()
    assess(path, POINTS, force=True, reporter=Reporter(listener))
    fractions = [e.fraction for e in listener.events if e.stage == "training points"]
    assert len(fractions) > 3
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    cancelled = Reporter(Listener())
    cancelled.cancel()
    with pytest.raises(Cancelled):
        assess(path, POINTS, reporter=cancelled)
