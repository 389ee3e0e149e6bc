"""The command line ends with the documented exit codes and one sentence."""

import json
import signal
import subprocess
import sys

import click
import pytest

from geopointseg import __version__
from geopointseg.cli import app as cli_app
from geopointseg.cli.command_reference import describe_commands
from geopointseg.cli.invocation import Table, common_options
from geopointseg.errors import PointsError


@pytest.fixture
def run(capsys):
    """Run the command line in this process; returns exit code, stdout and stderr."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stopped:
            cli_app.main(list(arguments))
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return call


@pytest.fixture
def failing(monkeypatch):
    """Make a command that raises a given exception."""

    def install(error):
        @click.command()
        @common_options
        def boom(run):
            raise error

        monkeypatch.setattr(cli_app._LazyGroup, "get_command", lambda *_: boom)

    return install


def test_help_and_version_answer_with_success(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "geopointseg train scene.tif --points survey.gpkg" in out
    assert run("--version") == (0, f"geopointseg {__version__}\n", "")


@pytest.mark.parametrize("command", ["", *describe_commands()["commands"]])
def test_every_command_explains_itself_without_torch_and_the_laboratory(command):
    program = (
        "import sys; from geopointseg.cli import main\n"
        f"try: main({[*command.split(), '--help']!r})\n"
        "except SystemExit as stop: sys.exit(stop.code or bool({'torch', 'geopointseg.lab'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: geopointseg" in done.stdout


def test_a_misspelt_command_is_wrong_usage_and_names_the_nearest(run):
    code, _, err = run("trian")
    assert code == 2
    assert "There is no command 'trian'. Did you mean 'train'" in err


def test_a_missing_option_is_wrong_usage(run):
    code, _, err = run("predict", "model")
    assert code == 2
    assert "--raster" in err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PointsError("Found this. Expected that. Do so."),
            "geopointseg: Found this. Expected that. Do so.\n",
        ),
        (MemoryError("9 GiB"), "Memory ran out (9 GiB). Use smaller windows"),
        (
            OSError(28, "No space left", "map.tif"),
            "The disk is full (map.tif). Expected room for it; free some space",
        ),
        (
            ZeroDivisionError("oh"),
            "Something unexpected went wrong: ZeroDivisionError: oh. Run again with --debug",
        ),
    ],
)
def test_a_failure_is_one_sentence_and_exit_1(run, failing, error, words):
    failing(error)
    code, out, err = run("train")
    assert (code, out) == (1, "")
    assert words in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(run, failing):
    failing(PointsError("Found this."))
    assert "Traceback" in run("train", "--debug")[2]


def test_errors_are_events_where_progress_is_json(run, failing):
    failing(PointsError("Found this."))
    _, _, err = run("train", "--progress", "json")
    assert json.loads(err.splitlines()[-1]) == {
        "event": "error", "message": "Found this.", "kind": "PointsError",
    }  # fmt: skip


def test_a_program_gets_no_advice_to_add_options_and_usage_errors_as_events(run, failing):
    code, _, err = run("points", "split", "p.gpkg", "-o", "s.gpkg", "--progress", "json")
    assert code == 2
    assert json.loads(err.splitlines()[-1]) == {
        "event": "error", "message": "Give either --folds K or --test-fraction F.", "kind": "UsageError",
    }  # fmt: skip
    failing(ZeroDivisionError("oh"))
    _, _, err = run("train", "--progress", "json")
    assert json.loads(err.splitlines()[-1])["message"] == (
        "Something unexpected went wrong: ZeroDivisionError: oh. Report it with the whole log."
    )


def test_an_interrupt_is_exit_130(run, failing):
    failing(KeyboardInterrupt())
    assert run("train")[0] == 130


def test_the_signal_handlers_of_before_come_back(run):
    before = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    run("--version")
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_reference_describes_every_option_with_a_help_text():
    commands = describe_commands()["commands"]
    assert "points rasterize" in commands
    for name, command in commands.items():
        for option, facts in command["options"].items():
            assert facts["help"], f"{name} {option}"


def test_brackets_in_class_names_are_printed(capsys):
    Table("T", ["class", "n"], [("forest [dense]", 1), ("road [/]", 2)]).show()
    out = capsys.readouterr().out
    assert "forest [dense]" in out
    assert "road [/]" in out


def test_tables_print_numbers_aligned_and_nan_as_a_dash(capsys):
    Table("T", ["class", "F1", "n"], [("Wald", 0.12345, 12_000), ("See", float("nan"), 3)]).show()
    out = capsys.readouterr().out
    assert "0.123" in out
    assert "12,000" in out
    assert "nan" not in out
