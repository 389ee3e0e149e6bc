"""A study's plan is checked before anything runs."""

import pytest

from geopointseg.errors import ConfigError, InputFileError
from geopointseg.study.plan import StudyPlan, known_factors

DATA = """
[data.town]
images = ["a.tif"]
masks = ["a_mask.png"]
test_images = ["b.tif"]
test_masks = ["b_mask.png"]
"""
FACTORS = """
[[factors]]
name = "points.per_class"
levels = [10, 50, 200]
[[factors]]
name = "loss.gamma"
levels = [0, 1]
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.delenv("GEOPOINTSEG_DATA", raising=False)
    for name in ("a.tif", "a_mask.png", "b.tif", "b_mask.png"):
        (tmp_path / name).touch()

    def call(text):
        path = tmp_path / "study.toml"
        path.write_text(text)
        return StudyPlan.read(path)

    return call


def test_all_combinations_are_run_for_every_seed(read):
    plan = read('seeds = [0, 1]\nbaselines = ["majority", "filter forest"]\n' + DATA + FACTORS)
    runs = list(plan.runs())
    ours = [run for run in runs if "baseline" not in run.levels]
    assert len(ours) == 3 * 2 * 2
    assert len({run.key for run in runs}) == len(runs)
    forests = [run for run in runs if run.levels.get("baseline") == "filter forest"]
    assert sorted(run.levels["points.per_class"] for run in forests) == [10, 10, 50, 50, 200, 200]


def test_the_quick_version_is_small_and_short(read):
    quick = read("seeds = [0, 1, 2]\n" + DATA + FACTORS).quick()
    assert [len(factor.levels) for factor in quick.factors] == [2, 2]
    assert quick.fixed["optimization.steps"] < 20
    assert len(quick.seeds) == 1
    assert quick.data[0].part == "centre"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            DATA + FACTORS.replace("loss.gamma", "loss.gama"),
            "factor 'loss.gama' is unknown. Did you mean 'loss.gamma'",
        ),
        (
            'baselines = ["forest of filters"]' + DATA + FACTORS,
            "baseline 'forest of filters' is unknown",
        ),
        (FACTORS, r"The study has no data. Expected at least one"),
        (DATA, r"The study has no factors"),
        (DATA + '[[factors]]\nname = "tta"\nlevels = "d4"', r"Expected a list like \[10, 50\]"),
        ("sedes = [1]" + DATA + FACTORS, "unknown key 'sedes'. Did you mean 'seeds'"),
        (
            DATA.replace('["b_mask.png"]', '["b_mask.png", "a_mask.png"]') + FACTORS,
            "1 test_images and 2 test_masks",
        ),
        (
            DATA + FACTORS + '[[hypotheses]]\ntext = "t"\nfactor = "tta"\nbetter = 1\nthan = 0',
            "speaks of the factor 'tta', which this study does not vary",
        ),
        (
            DATA
            + FACTORS
            + '[[hypotheses]]\ntext = "t"\nfactor = "loss.gamma"\nbetter = 2\nthan = 0',
            r"speaks of the level 2 of 'loss.gamma'. Expected one of \[0, 1\]",
        ),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(read, text, words):
    with pytest.raises(ConfigError, match=words):
        read(text)


def test_missing_files_are_named(read, tmp_path):
    with pytest.raises(InputFileError, match=r"c\.tif', which does not exist"):
        read(DATA.replace("b.tif", "c.tif") + FACTORS)
    with pytest.raises(InputFileError, match="does not exist"):
        StudyPlan.read(tmp_path / "none.toml")


def test_every_setting_can_be_a_factor():
    assert {"loss.gamma", "model.encoder", "points.placement", "ensemble"} <= set(known_factors())
