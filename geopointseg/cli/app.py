"""The root command: imports commands when they are called, and converts errors to exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from geopointseg.cli.library_warnings import answered_warnings
from geopointseg.errors import (
    Cancelled,
    GeopointsegError,
    TrainingError,
    is_out_of_memory,
    nearest_names,
)
from geopointseg.process import own_process
from geopointseg.progress import Event, JsonSink, Reporter

_COMMANDS = {
    "demo": "demo_command",
    "doctor": "doctor_command",
    "points": "points_command",
    "train": "train_command",
    "pretrain": "train_command",
    "predict": "predict_command",
    "export": "predict_command",
    "assess": "assess_command",
    "validate": "assess_command",
    "suggest": "assess_command",
    "similar": "similar_command",
    "match": "scenes_command",
    "study": "study_command",
    "live": "live_command",
    "bench": "bench_command",
}

EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 1, 2, 130


class _LazyGroup(click.Group):
    """A group that imports the module of a command when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"geopointseg.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            ctx.fail(f"There is no command '{args[0]}'. {nearest_names(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from geopointseg import __version__

        click.echo(f"geopointseg {__version__}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--version",
    is_flag=True,
    callback=_print_version,
    expose_value=False,
    is_eager=True,
    help="Show the version.",
)
def app() -> None:
    """Make land-cover maps from imagery and a few clicked points.

    \b
    Typical workflow:
      geopointseg train scene.tif --points survey.gpkg -o model
      geopointseg predict model --raster scene.tif -o map.tif
      geopointseg assess map.tif --points test.gpkg
    "geopointseg demo" runs it on a synthetic landscape.
    """  # noqa: D301 - click keeps the line breaks of a paragraph after a backspace


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (success), 1 (failure), 2 (wrong usage) or 130 (cancelled)."""
    state: dict[str, Any] = {"reporter": Reporter(), "debug": False}
    with _signals_cancel(state), own_process(), answered_warnings(state):
        code = _run(arguments, state)
    state["reporter"].close()
    sys.stdout.flush()
    sys.exit(code)


def _run(arguments: list[str] | None, state: dict[str, Any]) -> int:
    """Run a command, print a failure as one sentence, and return the exit code."""
    try:
        code: int = (
            app.main(args=arguments, prog_name="geopointseg", standalone_mode=False, obj=state) or 0
        )
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except (Cancelled, KeyboardInterrupt, click.Abort) as error:
        _print_failure(state, str(error) or "Cancelled.")
        code = EXIT_CANCELLED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the reader has closed the pipe; end without a message
        code = EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - every failure becomes one sentence
        _print_failure(state, _sentence(error), error)
        code = EXIT_FAILED
    return code


def _print_failure(state: dict[str, Any], sentence: str, error: Exception | None = None) -> None:
    """Write a sentence to stderr, as a JSON event where progress is JSON."""
    reporter: Reporter = state["reporter"]
    reporter.close()
    if isinstance(reporter.sink, JsonSink):
        reporter.sink.emit(
            Event("error", sentence, data={"kind": type(error).__name__} if error else {})
        )
    else:
        click.echo(f"geopointseg: {sentence}", err=True)
    if state["debug"] and error is not None:
        traceback.print_exception(error)


def _sentence(error: Exception) -> str:
    cause = error.__cause__ or Exception()
    is_told = isinstance(error, TrainingError) or not is_out_of_memory(cause)
    if isinstance(error, GeopointsegError) and is_told:  # else it blames something for the memory
        return str(error)
    if is_out_of_memory(error):
        shown = str(error.__cause__ or error).partition("\n")[0][:300] or type(error).__name__
        return f"Memory ran out ({shown}). Use smaller windows, batches or chips, or close other programs."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full ({error.filename or 'while writing'}). Free some space and run again."
    if isinstance(error, PermissionError):
        return f"'{error.filename}' may not be read or written. Choose another place or change its permissions."
    return (
        f"Something unexpected went wrong: {type(error).__name__}: {error}. "
        "Run again with --debug and report what it prints."
    )


@contextmanager
def _signals_cancel(state: dict[str, Any]) -> Iterator[None]:
    """Let SIGINT and SIGTERM request cancellation; the second signal ends the process.

    The previous handlers are restored, so that a notebook that calls `main` keeps its own.
    """

    def cancel(signum: int, frame: types.FrameType | None) -> None:
        reporter: Reporter = state["reporter"]
        if reporter.is_cancelled:
            os._exit(EXIT_CANCELLED)
        reporter.cancel()

    before = {name: signal.signal(name, cancel) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, signal.SIG_DFL if handler is None else handler)
