"""Settings: one place for defaults, checked when they are changed."""

import dataclasses

import pytest

from geopointseg.config import Config, choices, default_value, help_text
from geopointseg.errors import ConfigError, InputFileError


def test_toml_written_is_toml_read(tmp_path):
    path = tmp_path / "settings.toml"
    changed = Config().updated({"loss": {"gamma": 2.5}, "model": {"encoder": 'tu-"odd"\\name'}})
    path.write_text(changed.to_toml(), encoding="utf-8")
    assert Config.read(path) == changed


def test_every_setting_has_a_help_text_and_a_default_within_its_range():
    for section in dataclasses.fields(Config):
        values = getattr(Config(), section.name)
        for setting in dataclasses.fields(values):
            assert help_text(section.name, setting.name).endswith("."), setting.name
        assert Config().updated({section.name: vars(values)}) == Config()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"los": {}}, r"no section \[los\].*Did you mean 'loss'"),
        ({"loss": {"gama": 1}}, r"no setting 'gama' in \[loss\].*Did you mean 'gamma'"),
        ({"loss": {"gamma": -1}}, r"\[loss\] gamma is -1.0. Expected 0 to 10"),
        ({"loss": {"gamma": "big"}}, r"\[loss\] gamma is 'big'. Expected a number"),
        ({"prediction": {"tta": "all"}}, r"\[prediction\] tta is 'all'"),
        ({"loss": 3}, r"\[loss\] holds 3. Expected a section"),
        ({"model": {"freeze_encoder": 1}}, r"Expected true or false"),
        ({"loss": {"class_weight_range": 3}}, r"Expected a list"),
        ({"optimization": {"steps": 2.5}}, r"Expected a whole number"),
    ],
)
def test_what_is_wrong_is_said(values, words):
    with pytest.raises(ConfigError, match=words):
        Config().updated(values)


def test_numbers_are_text_where_text_is_expected():
    """``nodata = -9999`` and ``bands = [1, 2]`` are what people write."""
    scene = Config().updated({"scene": {"nodata": -9999, "bands": [4, 3]}}).scene
    assert scene.reading["nodata"] == -9999
    assert scene.bands == ("4", "3")


def test_chips_are_as_large_as_suits_the_device():
    """On a GPU a step of larger chips takes hardly longer; whoever names a size gets it everywhere."""
    assert Config().on_device("cpu").sampling.chip_size == 96
    assert Config().on_device("cuda").sampling.chip_size == 192
    named = Config().updated({"sampling": {"chip_size": 64}})
    assert named.on_device("cuda") == named
    with pytest.raises(ConfigError, match=r"chip_size is 20. Expected 32 to 2048, or 0"):
        Config().updated({"sampling": {"chip_size": 20}}).on_device("cpu")


def test_a_file_that_is_missing_or_not_toml_is_named(tmp_path):
    with pytest.raises(InputFileError, match="does not exist"):
        Config.read(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[loss\n")
    with pytest.raises(InputFileError, match="is not a TOML file"):
        Config.read(broken)


def test_defaults_and_choices_are_found_by_name():
    assert default_value("loss", "gamma") == Config().loss.gamma
    assert "none" in choices("prediction", "tta")
    assert choices("loss", "gamma") == ()
