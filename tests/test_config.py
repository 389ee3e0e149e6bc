"""Settings: one place for defaults, checked when they are changed."""

import dataclasses

import numpy as np
import pytest

from geopointseg.config import (
    Config,
    LossConfig,
    PredictionConfig,
    choices,
    default_value,
    help_text,
)
from geopointseg.errors import ConfigError, InputFileError
from geopointseg.setting import require_number


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
        ({"optimization": {"steps": True}}, r"Expected a whole number"),
        ({"optimization": {"steps": float("inf")}}, r"Expected a whole number"),
        ({"loss": {"class_weight_range": [0.3]}}, r"\[0.3\], a list of 1. Expected a list of 2\."),
        ({"loss": {"class_weight_range": [1, 2, 3]}}, r"a list of 3. Expected a list of 2\."),
        ({"loss": {"class_weight_range": [3, 0.3]}}, r"\[3.0, 0.3\]. Expected the smaller number"),
        ({"loss": {"class_weight_range": [-1, 2]}}, r"is -1.0. Expected at least 0, and finite"),
        ({"loss": {"class_weight_range": [0, float("nan")]}}, r"is nan. Expected at least 0, and"),
        ({"model": {"decoder_channels": []}}, r"is \[\]. Expected at least 1 value"),
        ({"model": {"decoder_channels": [64, 0]}}, r"is 0. Expected 1 to 8192"),
        ({"optimization": {"minutes": 10**400}}, r"minutes is inf. Expected at least 0.05"),
        ({"prediction": {"overlap_px": -2}}, r"overlap_px is -2. Expected at least -1"),
    ],
)
def test_what_is_wrong_is_said(values, words):
    with pytest.raises(ConfigError, match=words):
        Config().updated(values)


NUMBERS = [
    (section.name, setting.name)
    for section in dataclasses.fields(Config)
    for setting in dataclasses.fields(getattr(Config(), section.name))
    if isinstance(setting.default, (int, float)) and not isinstance(setting.default, bool)
]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
@pytest.mark.parametrize(("section", "name"), NUMBERS)
def test_no_setting_takes_what_is_no_number(section, name, value):
    with pytest.raises(ConfigError, match=rf"^\[{section}\] {name} is .* Expected"):
        Config().updated({section: {name: value}})


def test_settings_are_checked_however_they_are_made():
    with pytest.raises(ConfigError, match=r"\[loss\] gamma is nan. Expected 0 to 10"):
        Config(loss=LossConfig(gamma=float("nan")))
    with pytest.raises(ConfigError, match=r"\[prediction\] window_px is 8. Expected 32 to 8192"):
        dataclasses.replace(Config(), prediction=PredictionConfig(window_px=8))


def test_numbers_of_numpy_are_numbers():
    changed = Config().updated(
        {"optimization": {"steps": np.int64(7), "minutes": np.float32(0.5), "warmup": 0}}
    )
    assert changed.optimization.steps == 7
    assert type(changed.optimization.steps) is int
    assert (changed.optimization.minutes, changed.optimization.warmup) == (0.5, 0.0)


@pytest.mark.parametrize("text", ["two\nlines", "tab\t", "\x7f\x01", "é ü 語", 'a"b\\c'])
def test_any_text_survives_toml(tmp_path, text):
    path = tmp_path / "settings.toml"
    changed = Config().updated({"scene": {"reference": text, "bands": [text]}})
    path.write_text(changed.to_toml(), encoding="utf-8", newline="")
    assert Config.read(path) == changed


@pytest.mark.parametrize(
    ("value", "bounds", "words"),
    [
        (float("nan"), {}, "The buffer is nan m. Expected a finite number."),
        (float("inf"), {"minimum": 0}, "is inf m. Expected a finite number of at least 0."),
        (-1, {"minimum": 0}, "is -1 m. Expected a finite number of at least 0."),
        (0, {"above": 0, "below": 1}, "Expected a finite number of more than 0 and less than 1."),
    ],
)
def test_arguments_are_numbers_in_a_range(value, bounds, words):
    with pytest.raises(ConfigError) as raised:
        require_number("The buffer", value, unit="m", **bounds)
    assert words in str(raised.value)


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
