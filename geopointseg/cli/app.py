"""The root command: imports commands when they are called, and converts errors to exit codes."""

from __future__ import annotations

import errno
import importlib
import io
import os
import re
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import click

from geopointseg.cli.help_page import ExampleCommand, ExampleGroup
from geopointseg.cli.library_warnings import answered_warnings
from geopointseg.errors import (
    Cancelled,
    ConfigError,
    GeopointsegError,
    InputFileError,
    TrainingError,
    is_out_of_memory,
    nearest_names,
)
from geopointseg.message_catalogue import link_to
from geopointseg.name import printable
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

_LONGEST_SENTENCE = 6000
_MOST_FILES = 6

EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 1, 2, 130


class _LazyGroup(ExampleGroup):
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


def walk_commands() -> Iterator[tuple[str, ExampleCommand]]:
    """Yield name and command of all commands, those of groups included."""
    for name in _COMMANDS:
        command = app.get_command(click.Context(app), name)
        below = command.commands if isinstance(command, click.Group) else {"": command}
        for each, found in below.items():
            yield f"{name} {each}".strip(), cast("ExampleCommand", found)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from geopointseg import __version__

        click.echo(f"geopointseg {__version__}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    examples=(
        "geopointseg train scene.tif --points survey.gpkg -o model",
        "geopointseg predict model --raster scene.tif -o map.tif",
        "geopointseg assess map.tif --points test.gpkg",
    ),
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

    "geopointseg demo" runs the typical workflow on a synthetic landscape; "geopointseg COMMAND --help" explains a command.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (success), 1 (failure), 2 (wrong usage) or 130 (cancelled)."""
    state: dict[str, Any] = {"reporter": Reporter(), "debug": False}
    _prepare_streams()
    with _signals_cancel(state), own_process(), answered_warnings(state), _quiet_threads(state):
        code = _run(arguments, state)
        state["reporter"].close()
        code = _flush_output(state, code)
    sys.exit(code)


@contextmanager
def _quiet_threads(state: dict[str, Any]) -> Iterator[None]:
    """Print no traceback where a thread of a library fails, unless with ``--debug``; what it was for fails as well."""
    before = threading.excepthook
    threading.excepthook = lambda failure: before(failure) if state["debug"] else None
    try:
        yield
    finally:
        threading.excepthook = before


def _flush_output(state: dict[str, Any], code: int) -> int:
    """Write what is left of stdout, and return the exit code, which is that of a failure where this fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - else Python tries again at its end
        if code == 0 and not isinstance(error, BrokenPipeError):
            _print_failure(state, _refuse_output(error), error)
        return code or EXIT_FAILED
    return code


def _refuse_output(error: OSError) -> str:
    return (
        f"The result could not be printed ({error.strerror}). Expected a terminal, pipe or file that takes it; the files of "
        "the command are written. Free some space, and run again where the result is needed."
    )


def _require_current_folder() -> None:
    """Raise `InputFileError` if the current folder was removed, from which relative paths start."""
    try:
        os.getcwd()  # noqa: PTH109 - the question is whether it fails
    except OSError as error:
        raise InputFileError(
            f"The current folder cannot be used ({error.strerror}). Expected one that exists; change to another folder and "
            "run again."
        ) from error


def _prepare_streams() -> None:
    """Let any name be printed, escaped where it is not UTF-8 or the terminal lacks its letters; nowhere without a stream."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - used until the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115 - as above
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str] | None, state: dict[str, Any]) -> int:
    """Run a command, print a failure as one sentence, and return the exit code."""
    try:
        _require_current_folder()
        code: int = (
            app.main(args=arguments, prog_name="geopointseg", standalone_mode=False, obj=state) or 0
        )
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        if isinstance(state["reporter"].sink, JsonSink):
            _print_failure(state, error.format_message(), error)
        else:
            error.show()
            if link := link_to(error.message):
                click.echo(link, err=True)
        code = EXIT_USAGE
    except (Cancelled, KeyboardInterrupt, click.Abort) as error:
        _print_failure(state, str(error) or "Cancelled.")
        code = EXIT_CANCELLED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the reader has closed the pipe; end without a message
        code = EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - every failure becomes one sentence
        is_for_people = not isinstance(state["reporter"].sink, JsonSink)
        sentence = _sentence(error, is_for_people=is_for_people)
        files = state.get("files", [])
        if isinstance(error, ConfigError):  # it is about a setting or an option
            files = [name for name in files if name.endswith(".toml")]
        _print_failure(state, _naming_files(sentence, files), error)
        code = EXIT_FAILED
    return code


def _print_failure(state: dict[str, Any], sentence: str, error: Exception | None = None) -> None:
    """Write a sentence to stderr, as a JSON event where progress is JSON."""
    reporter: Reporter = state["reporter"]
    reporter.close()
    sentence = " ".join(filter(None, [reporter.worded(sentence), link_to(sentence)]))
    if isinstance(reporter.sink, JsonSink):
        reporter.sink.emit(
            Event("error", sentence, data={"kind": type(error).__name__} if error else {})
        )
    else:
        click.echo(f"geopointseg: {_shortened(printable(sentence))}", err=True)
    if state["debug"] and error is not None:
        traceback.print_exception(error)


def _sentence(error: Exception, *, is_for_people: bool) -> str:
    cause = error.__cause__ or Exception()
    is_told = isinstance(error, TrainingError) or not is_out_of_memory(cause)
    if isinstance(error, GeopointsegError) and is_told:  # else it blames something for the memory
        return re.sub(r"\[Errno -?\d+\] ", "", str(error))  # numbers that only programmers know
    if is_out_of_memory(error):
        shown = str(error.__cause__ or error).partition("\n")[0][:300] or type(error).__name__
        return f"Memory ran out ({shown}). Use smaller windows, batches or chips, or close other programs."
    return (
        _explain_system_error(error)
        or _explain_library_error(error)
        or (
            f"Something unexpected went wrong: {type(error).__name__}: {error}. "
            + (
                "Run again with --debug and report what it prints."
                if is_for_people
                else "Report it with the whole log."
            )
        )
    )


def _explain_system_error(error: Exception) -> str:
    """Return a sentence for an error of the operating system about a file; empty for others."""
    if not isinstance(error, OSError):
        return ""
    if error.errno == errno.ENOSPC:
        where = error.filename or "while the result was printed or written"
        return f"The disk is full ({where}). Expected room for it; free some space and run again."
    if not (error.filename and error.strerror):
        return ""
    if isinstance(error, PermissionError):
        return f"'{error.filename}' may not be read or written. Choose another place or change its permissions."
    return (
        f"'{error.filename}' cannot be read or written ({error.strerror}). Expected a file or folder that can; check the "
        "path, its permissions and the disk."
    )


def _explain_library_error(error: Exception) -> str:
    """Return a sentence for an error of a library about a file; empty for others."""
    if type(error).__module__.startswith("rasterio."):
        from geopointseg.raster.raster_access import root_cause

        return (
            f"A raster cannot be read or written ({root_cause(error)}). Expected a whole file; open it in QGIS to see what it "
            "holds, and get it again."
        )
    if isinstance(error, UnicodeEncodeError):
        return (
            f"A name holds characters that cannot be stored ({error.object[error.start : error.end]!r}). Expected names in "
            "UTF-8; rename the file, folder or class."
        )
    return ""


def _naming_files(sentence: str, files: Sequence[str]) -> str:
    """Return a sentence that tells which files a command was given, unless it names one of them."""
    names = [os.path.basename(os.path.normpath(name)) for name in files]  # noqa: PTH119 - Path drops too much
    if not names or any(name in sentence for name in names if name):
        return sentence
    listed = ", ".join(f"'{name}'" for name in files[:_MOST_FILES])
    return f"{sentence} The command was given {listed}{' ...' if len(files) > _MOST_FILES else ''}."


def _shortened(sentence: str) -> str:
    """Return a sentence without the middle of what is too long to read, such as a value of a megabyte."""
    if len(sentence) <= _LONGEST_SENTENCE:
        return sentence
    half = _LONGEST_SENTENCE // 2
    return f"{sentence[:half]} ... {sentence[-half:]}"


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
