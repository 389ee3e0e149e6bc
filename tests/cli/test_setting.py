"""Settings reach a command from file, --set and options, the later ones winning."""

import click
import pytest
from click.testing import CliRunner

from geopointseg.cli import app as cli_app
from geopointseg.cli.invocation import common_options
from geopointseg.cli.setting_options import settings_options
from geopointseg.config import Config
from geopointseg.errors import ConfigError, PointsError
from geopointseg.labels import points as points_module
from geopointseg.learning import training


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
    from geopointseg.cli.train_command import train_command

    printed = CliRunner().invoke(train_command, ["--print-config"], obj={}).output
    assert printed.strip() == Config().to_toml().strip()


def seen_by_train(monkeypatch, *arguments) -> dict:
    """Return what the command hands to the library."""
    seen: dict = {}

    def fake_train(rasters, points, **options):
        seen.update(options, rasters=rasters)
        raise PointsError("enough")

    monkeypatch.setattr(training, "train", fake_train)
    monkeypatch.setattr(points_module, "read_points", lambda *args, **options: None)
    with pytest.raises(SystemExit):
        cli_app.main(["train", "--progress", "none", *arguments])
    return seen


def test_several_unlabelled_scenes_follow_one_option(monkeypatch):
    seen = seen_by_train(
        monkeypatch, "a.tif", "b.tif", "--unlabelled", "c.tif", "d.tif", "--points", "p.gpkg", "-o", "m",
        "--set", "loss.gamma=2", "--unlabelled", "e.tif",
    )  # fmt: skip
    assert seen["rasters"] == ["a.tif", "b.tif"]
    assert seen["unlabelled"] == ["c.tif", "d.tif", "e.tif"]
    assert seen["config"].loss.gamma == 2


def test_minutes_of_the_command_line_overrule_steps_of_the_file(monkeypatch, tmp_path, capsys):
    (tmp_path / "c.toml").write_text("[optimization]\nsteps = 300\n")
    common = ["a.tif", "--points", "p.gpkg", "-o", "m", "--config", str(tmp_path / "c.toml")]
    assert seen_by_train(monkeypatch, *common)["config"].optimization.steps == 300
    settings = seen_by_train(monkeypatch, *common, "--minutes", "3")["config"].optimization
    assert (settings.minutes, settings.steps) == (3, 0)
    assert seen_by_train(monkeypatch, *common, "--minutes", "3", "--steps", "5") == {}
    assert "Expected one of them" in capsys.readouterr().err
