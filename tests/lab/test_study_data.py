"""Studies take published data sets: folders of pictures without georeference, with their splits."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from geopointseg.errors import ConfigError, RasterError
from geopointseg.lab.color_palette import PALETTES
from geopointseg.lab.experiment import read_study_scenes
from geopointseg.lab.factor_study import run_study
from geopointseg.lab.study_data import parse_data, place_data
from geopointseg.raster.scene import Scene

DEEPGLOBE = {"folder": "globe", "dataset": "deepglobe", "split": "train", "test_split": "valid"}


@pytest.fixture
def globe(tmp_path):
    """Pictures in the form of DeepGlobe, of three classes that differ in brightness."""
    colors = PALETTES["deepglobe"].legend.rgb
    generator = np.random.default_rng(0)
    for part, number in (("train", 1), ("train", 2), ("valid", 7)):
        folder = tmp_path / "globe" / part
        folder.mkdir(parents=True, exist_ok=True)
        index = np.add.outer(np.arange(72), np.arange(96)) // 40 % 3
        image = index[..., None] * 70 + generator.integers(20, 50, (72, 96, 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{number}_sat.jpg", quality=95)
        Image.fromarray(colors[index].astype(np.uint8)).save(folder / f"{number}_mask.png")
    return tmp_path


def test_a_study_of_deepglobe_runs_from_its_folder(globe, monkeypatch):
    monkeypatch.delenv("GEOPOINTSEG_DATA", raising=False)
    (globe / "study.toml").write_text("""
seeds = [0]
baselines = ["majority"]
[data.globe]
folder = "globe"
dataset = "deepglobe"
split = "train"
test_split = "valid"
[fixed]
model = "forest"
"forest.trees" = 10
[[factors]]
name = "points.per_class"
levels = [25]
""")
    done = run_study(globe / "study.toml", globe / "out")
    assert [score.failure for score in done.scores] == ["", ""]
    assert done.scores[1].mean_f1 > 0.8 > done.scores[0].mean_f1
    assert (globe / "out" / "report.md").is_file()


def test_pictures_get_a_place_each_and_keep_their_classes(globe):
    data = parse_data("globe", DEEPGLOBE, globe)
    assert [p.name for p in data.images] == ["1_sat.jpg", "2_sat.jpg"]
    assert [p.name for p in data.test_masks] == ["7_mask.png"]
    placed = place_data(data, globe / "placed")
    grids = [Scene.open(path).grid for path in (*placed.images, *placed.test_images)]
    assert all(grid.resolution_m == pytest.approx(0.5) for grid in grids)
    assert len({grid.transform.c for grid in grids}) == 3
    assert read_study_scenes(placed, globe).legend.names == ["urban", "agriculture", "rangeland"]


def test_a_palette_of_ones_own_leaves_the_pixel_size_of_the_data_set(globe):
    own = parse_data("globe", DEEPGLOBE | {"palette": "isprs"}, globe)
    assert (own.palette, own.resolution_m) == ("isprs", 0.5)


def test_what_was_placed_before_is_not_placed_again(globe, monkeypatch):
    data = parse_data("globe", DEEPGLOBE, globe)
    first = place_data(data, globe / "placed")
    monkeypatch.setattr("geopointseg.lab.study_data.georeference_pairs", None)
    assert place_data(data, globe / "placed") == first


def test_pictures_are_placed_anew_where_the_section_was_edited(globe):
    data = parse_data("globe", DEEPGLOBE, globe)
    place_data(data, globe / "placed")
    placed = place_data(dataclasses.replace(data, resolution_m=2.0), globe / "placed")
    assert Scene.open(placed.images[0]).grid.resolution_m == pytest.approx(2)


def test_a_mask_of_another_size_is_named_before_anything_runs(globe):
    Image.new("RGB", (90, 72)).save(globe / "globe" / "valid" / "7_mask.png")
    with pytest.raises(
        RasterError, match=r"7_mask.png' has 90 x 72 pixels, its image '7_sat.jpg' 96"
    ):
        parse_data("globe", DEEPGLOBE, globe)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test_split": None}, "Name a test_split or a test_split_file"),
        ({"spilt": "train"}, "unknown key 'spilt'. Did you mean 'split'"),
        ({"part": "lef"}, "has the part 'lef'. Did you mean 'left'"),
    ],
)
def test_what_is_wrong_with_a_section_is_said(globe, changes, words):
    row = {k: v for k, v in (DEEPGLOBE | changes).items() if v is not None}
    with pytest.raises(ConfigError, match=words):
        parse_data("globe", row, globe)


def test_classes_of_one_side_only_are_named(globe):
    colors = PALETTES["deepglobe"].legend.rgb
    mask = np.array(Image.open(globe / "globe" / "valid" / "7_mask.png"))
    mask[:10, :10] = colors[4]
    Image.fromarray(mask).save(globe / "globe" / "valid" / "7_mask.png")
    data = place_data(parse_data("globe", DEEPGLOBE, globe), globe / "placed")
    with pytest.warns(
        UserWarning, match=r"water occur in the training masks or in the test masks only"
    ):
        read_study_scenes(data, globe)
