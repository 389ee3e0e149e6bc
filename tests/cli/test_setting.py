"""Settings reach a command from file, --set and options, the later ones winning."""

import click
import pytest
from click.testing import CliRunner

from geopointseg.cli.invocation import common_options
from geopointseg.cli.setting import settings_options
from geopointseg.config import Config
from geopointseg.errors import ConfigError


@pytest.fixture
def settings_of():
    """Return what settings a command sees for some arguments."""
    seen = []

    @click.command()
    @settings_options(("loss", "gamma"), ("optimization", "minutes", "M"))
    @common_options
    def command(run):
        seen.append(run.settings)

    def call(*arguments):
        CliRunner().invoke(command, arguments, obj={}, catch_exceptions=False)
        return seen[-1] if seen else None

    return call


def test_nothing_given_is_the_default(settings_of):
    assert settings_of() == Config()


def test_options_win_over_set_and_set_over_the_file(settings_of, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[loss]\ngamma = 3.0\nlabel_smoothing = 0.1\n[optimization]\nminutes = 7")
    settings = settings_of(
        "--config", str(path), "--set", "loss.label_smoothing=0.2", "--gamma", "0.5"
    )
    assert (settings.loss.gamma, settings.loss.label_smoothing, settings.optimization.minutes) == (
        0.5,
        0.2,
        7.0,
    )


def test_texts_need_no_quotes_in_set(settings_of):
    assert settings_of("--set", "model.encoder=resnet34").model.encoder == "resnet34"


def test_a_malformed_set_says_what_was_expected(settings_of):
    with pytest.raises(ConfigError, match=r"Expected section.name=value, like loss.gamma=2"):
        settings_of("--set", "gamma=2")


def test_print_config_prints_toml_and_stops():
    from geopointseg.cli.train import train

    printed = CliRunner().invoke(train, ["--print-config"], obj={}).output
    assert printed.strip() == Config().to_toml().strip()
