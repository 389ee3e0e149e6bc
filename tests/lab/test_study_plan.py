"""A study's plan is checked before anything runs."""

import dataclasses

import pytest

from geopointseg.errors import ConfigError, InputFileError
from geopointseg.lab import experiment
from geopointseg.lab.study_plan import StudyPlan, known_factors

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


NAMED = """
[[factors]]
name = "unlabelled pixels"
[factors.levels.off]
"teaching.distillation_weight" = 0.0
[factors.levels.all]
"teaching.distillation_weight" = 0.7
"teaching.consistency_weight" = 1.0
"""


def test_a_named_level_sets_several_things(read):
    plan = read('seeds = [0]\nbaselines = []\n[fixed]\n"loss.gamma" = 2.0\n' + DATA + NAMED)
    off, everything = plan.runs()
    assert everything.levels == {"unlabelled pixels": "all"}
    assert everything.values["teaching.consistency_weight"] == 1.0
    assert everything.values["loss.gamma"] == off.values["loss.gamma"] == 2.0
    assert "unlabelled pixels" not in everything.values


def test_runs_that_do_the_same_are_the_same_in_two_studies(read):
    """So that two studies in one folder of runs share what both need."""
    start = 'seeds = [0]\nbaselines = ["dense"]\n'
    one = read(start + '[fixed]\n"loss.gamma" = 1.0\n"points.per_class" = 20\n' + DATA + NAMED)
    other = read(
        start + '[fixed]\n"teaching.distillation_weight" = 0.0\n"points.per_class" = 20\n' + DATA
        + '[[factors]]\nname = "loss.gamma"\nlevels = [0.0, 1.0]'
    )  # fmt: skip
    keys = {run.key for run in one.runs()} & {run.key for run in other.runs()}
    assert len(keys) == 1
    assert len({run.key for run in one.runs()}) == 3


def test_runs_on_other_data_are_other_runs(read, tmp_path):
    """Also where they set nothing else, like the majority, or the name of the data stays the same."""

    def keys(plan):
        return {run.key for run in plan.runs()}

    text = 'seeds = [0]\nbaselines = ["majority"]\n' + DATA + FACTORS
    plan = read(text)
    first, (data,) = keys(plan), plan.data
    assert keys(read(text)) == first
    assert not first & keys(plan.quick())
    for change in ({"palette": "isprs"}, {"test_part": "top"}, {"test_images": data.images}):
        other = dataclasses.replace(data, **change)
        assert not first & keys(dataclasses.replace(plan, data=(other,)))
    (tmp_path / "b_mask.png").write_text("other")
    assert not first & keys(read(text))


@pytest.mark.parametrize(
    ("name", "setting", "level"),
    [("match", "scene.matching", "histogram"), ("tta", "prediction.tta", "d4")],
)
def test_a_short_name_stands_for_its_setting(read, name, setting, level):
    start = f'seeds = [0]\nbaselines = []\n[fixed]\n"{setting}" = "none"\n' + DATA
    factor = f'[[factors]]\nname = "NAME"\nlevels = ["none", "{level}"]'
    runs = list(read(start + factor.replace("NAME", name)).runs())
    section, _, key = setting.partition(".")
    configs = [experiment._configure(run.values, "") for run in runs]
    assert [getattr(getattr(c, section), key) for c in configs] == ["none", level]
    assert [run.levels for run in runs] == [{name: "none"}, {name: level}]
    full = read(start + factor.replace("NAME", setting)).runs()
    assert [run.key for run in runs] == [run.key for run in full]


def test_baselines_can_be_kept_to_some_levels_of_the_points(read):
    start = (
        'seeds = [0]\nbaselines = ["pixel forest"]\n[baseline_levels]\n"points.per_class" = [50]\n'
    )
    runs = [run for run in read(start + DATA + FACTORS).runs() if run.baseline]
    assert [run.values["points.per_class"] for run in runs] == [50]


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
        (
            DATA + NAMED.replace("consistency_weight", "consistensy_weight"),
            "Did you mean 'teaching.consistency_weight'",
        ),
        (
            DATA + '[[factors]]\nname = "mine"\nlevels = { off = 0 }',
            r"level 'off' of the factor 'mine' is 0. Expected a section \[factors.levels.off\]",
        ),
        (
            '[baseline_levels]\n"loss.gamma" = [0]\n' + DATA + FACTORS,
            r"names 'loss.gamma'. Expected a factor of the points that this study varies: points.per_class",
        ),
        (
            '[baseline_levels]\n"points.per_class" = [51]\n' + DATA + FACTORS,
            r"the levels \[51\]. Expected some of \[10, 50, 200\]",
        ),
        ("sedes = [1]" + DATA + FACTORS, "unknown key 'sedes'. Did you mean 'seeds'"),
        (
            DATA.replace('["b_mask.png"]', '["b_mask.png", "a_mask.png"]') + FACTORS,
            "1 test_images and 2 test_masks",
        ),
        (
            DATA + FACTORS + '[[hypotheses]]\ntext = "t"\nfactor = "tta"\nbetter = 1\nthan = 0',
            "names the factor 'tta', which this study does not vary",
        ),
        (
            DATA
            + FACTORS
            + '[[hypotheses]]\ntext = "t"\nfactor = "loss.gamma"\nbetter = 2\nthan = 0',
            r"names the level 2 of 'loss.gamma'. Expected one of \[0, 1\]",
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
