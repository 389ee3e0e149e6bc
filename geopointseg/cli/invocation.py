"""Common options of all commands; results on stdout, everything else on stderr."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import click

from geopointseg.cli.help_page import CommonOption, ExampleCommand, described_argument
from geopointseg.cli.option_names import in_options
from geopointseg.cli.setting_options import gather_settings
from geopointseg.cli.written_files import refuse_replacing_inputs
from geopointseg.config import Config
from geopointseg.name import printable
from geopointseg.progress import BarSink, Event, JsonSink, Reporter, Sink

TitledTable = tuple[str, Sequence[str], Sequence[Sequence[Any]]]
"""Title, headings and rows."""


@dataclass(frozen=True)
class Invocation:
    """Common options of one run of a command.

    Parameters
    ----------
    seed
        Seed of all random numbers.
    device
        ``auto``, ``cpu`` or ``cuda``.
    as_json
        Whether the result is printed as one JSON object.
    reporter
        Receives progress; carries cancellation.
    settings
        All settings, from the file and the options given.
    """

    seed: int
    device: str
    as_json: bool
    reporter: Reporter
    settings: Config

    def finish(self, result: dict[str, Any], *shown: TitledTable | str) -> None:
        """Print the result of a command: as JSON with ``--json``, else as tables and sentences."""
        if isinstance(self.reporter, ImageryReporter) and self.reporter.imagery:
            result = result | {"imagery": self.reporter.imagery}
        result = self.reporter.worded(result)
        self.reporter.sink.emit(Event("result", data={"result": result}))
        self.reporter.close()
        if self.as_json:
            click.echo(json.dumps(result, ensure_ascii=False, indent=2, default=str))
            return
        for part in self.reporter.worded(shown):
            if isinstance(part, str):
                click.echo(printable(part))
            else:
                Table(*part).show()


class Table(NamedTuple):
    """Rows under headings, for the terminal.

    Parameters
    ----------
    title
        Title of the table.
    headings
        One for each column.
    rows
        Cells; floats below 10 are printed with three decimals, NaN as a dash; columns of numbers are aligned right.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def show(self) -> None:
        """Print the table on stdout."""
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table as RichTable

        table = RichTable()
        for position, heading in enumerate(self.headings):
            is_number = all(_is_number(row[position]) for row in self.rows)
            side: Literal["left", "right"] = "right" if is_number else "left"
            table.add_column(escape(heading), justify=side, overflow="fold")
        for row in self.rows:
            table.add_row(*(escape(_cell(value)) for value in row))
        console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 120)
        console.print(self.title, style="bold", markup=False)
        console.print(table)


def _is_number(value: Any) -> bool:
    text = "-" if value is None else str(value)
    return (
        text == "-"
        or text.lstrip("+-").replace(",", "").replace(".", "", 1).isdigit()
        or text == "nan"
    )


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(str(value))


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the common options to a command, which receives them as an `Invocation`."""

    @click.option(
        "--seed",
        cls=CommonOption,
        type=int,
        default=0,
        show_default=True,
        help="Seed of all random numbers.",
    )
    @click.option(
        "--device", cls=CommonOption, type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
        help="Device of the network; auto takes a GPU if there is one.",
    )  # fmt: skip
    @click.option(
        "--progress", cls=CommonOption, type=click.Choice(["bar", "json", "none"]), default="bar", show_default=True,
        help="Format of progress on stderr.",
    )  # fmt: skip
    @click.option(
        "--json",
        "as_json",
        cls=CommonOption,
        is_flag=True,
        help="Print the result as one JSON object.",
    )
    @click.option("--quiet", cls=CommonOption, is_flag=True, help="Show warnings and errors only.")
    @click.option("--debug", cls=CommonOption, is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapped(
        *,
        seed: int,
        device: str,
        progress: str,
        as_json: bool,
        quiet: bool,
        debug: bool,
        **arguments: Any,
    ) -> None:
        context = click.get_current_context()
        _refuse_empty_values(context)
        if not 0 <= seed <= _LARGEST_SEED:
            raise click.BadParameter(
                f"{seed} is no seed. Expected a whole number of 0 to {_LARGEST_SEED}.",
                param_hint="'--seed'",
            )
        reporter = ImageryReporter(_sink(progress, quiet=quiet), context.command)
        files = _named_files(context)
        context.find_root().obj.update(
            reporter=reporter, debug=debug, files=[path for _, path in files]
        )
        refuse_replacing_inputs(context, files)
        settings = gather_settings(arguments)
        command(run=Invocation(seed, device, as_json, reporter, settings), **arguments)

    return wrapped


_LARGEST_SEED = 2**32 - 1
_VALUES = {None, "NAME,NAME...", "SECTION.NAME=VALUE", "B,B...", "ADDRESS"}
"""Placeholders of texts that name no file."""


def _named_files(context: click.Context) -> list[tuple[str, str]]:
    """Return the files and folders that a command was given, each with the name of its parameter."""
    named = [
        (str(parameter.name), context.params.get(str(parameter.name)))
        for parameter in context.command.params
        if isinstance(parameter.type, click.types.StringParamType)
        and parameter.metavar not in _VALUES
    ]
    each = ((name, value if isinstance(value, tuple) else (value,)) for name, value in named)
    return [(name, str(path)) for name, paths in each for path in paths if path is not None]


def _refuse_empty_values(context: click.Context) -> None:
    """Raise `click.BadParameter` if an empty text was given where a file, a number or a name is expected."""
    for parameter in context.command.params:
        given = context.params.get(str(parameter.name))
        values = given if isinstance(given, tuple) else (given,)
        is_text = isinstance(parameter.type, click.types.StringParamType)
        if is_text and parameter.default != "" and any(value == "" for value in values):
            raise click.BadParameter(
                "the value is empty. Expected one; give it, or leave the option out.",
                context,
                parameter,
            )


def _sink(progress: str, *, quiet: bool) -> Sink:
    if progress == "json":
        return JsonSink()
    return BarSink(quiet=quiet, bars=progress == "bar")


class ImageryReporter(Reporter):
    """A reporter that names options in messages, and collects which scenes, bands and files were used.

    Parameters
    ----------
    sink
        Receives the events.
    command
        The command that runs, whose options are named.
    """

    def __init__(self, sink: Sink, command: click.Command) -> None:
        super().__init__(sink)
        self.imagery: list[dict[str, Any]] = []
        self._command = command

    def worded(self, content: Any) -> Any:
        """Return messages with options and commands in place of arguments and functions."""
        if isinstance(content, str):
            for_a_form = isinstance(self.sink, JsonSink)
            return in_options(content, self._command, for_a_form=for_a_form)
        if isinstance(content, dict):
            return {key: self.worded(value) for key, value in content.items()}
        if isinstance(content, (list, tuple)):
            return [self.worded(value) for value in content]
        return content

    def warn(self, message: str, **data: Any) -> None:
        """Send a warning."""
        super().warn(self.worded(message), **self.worded(data))

    def log(self, message: str, **data: Any) -> None:
        """Send a message to the user, and keep the data of `open_scenes`."""
        if "left_out" in data and data not in self.imagery:
            self.imagery.append(data)
        super().log(self.worded(message), **self.worded(data))


class ListOption(click.Option):
    """An option that takes one value or several, and may be given several times: ``--unlabelled R [R ...]``."""


class CommandWithLists(ExampleCommand):
    """A command with options of the class `ListOption`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat such an option before each of its values, which end at the next option."""
        lists = {flag for p in self.params if isinstance(p, ListOption) for flag in p.opts}
        spread: list[str] = []
        current = ""
        for position, arg in enumerate(args):
            if arg.startswith("-") and len(arg) > 1:
                current = arg if arg in lists else ""
            elif current and args[position - 1] != current:
                spread.append(current)
            spread.append(arg)
        return super().parse_args(ctx, spread)


def scene_arguments(command: Callable[..., None]) -> Callable[..., None]:
    """Take one or more rasters as arguments."""
    return described_argument(
        "rasters",
        "Raster file or folder of bands that GDAL reads.",
        nargs=-1,
        required=True,
        metavar="R [R ...]",
    )(command)


def raster_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take one or more rasters by ``--raster``."""
    return click.option(
        "--raster", "rasters", multiple=True, required=True, metavar="R",
        help="Raster file that GDAL reads; may be given several times.",
    )(command)  # fmt: skip


def points_options(
    *, required: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Take points with their class field and layer."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command = layer_options(command)
        return click.option(
            "--points", required=required, metavar="POINTS",
            help="Vector file with labelled points (GeoPackage recommended).",
        )(command)  # fmt: skip

    return decorate


def layer_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take the class field and the layer of a vector file."""
    command = click.option(
        "--layer", default=None, help="Layer of the file; needed where it holds several."
    )(command)
    return click.option(
        "--class-field", default=None, help="Field with the class, text or integer."
    )(command)
