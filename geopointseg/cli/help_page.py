"""Help of a command: what it does, an example, what one needs, fine tuning, and the options of all commands."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from typing import Any

import click

NEEDED, FINE, COMMON = "What you need", "Fine tuning", "Options of all commands"
"""Groups of options, in their order."""


class DescribedArgument(click.Argument):
    """An argument with a help text, which click itself knows for options only."""

    def __init__(self, *args: Any, help: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.help = help


class CommonOption(click.Option):
    """An option that every command has."""


class _WithExamples(click.Command):
    """A command that shows examples first.

    Parameters
    ----------
    examples
        Command lines that can be typed. Their options are, beside the required ones, those that one needs.
    """

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does, examples, usage, details and options."""
        summary, _, details = inspect.cleandoc(self.help or "").partition("\n\n")
        _write_indented(formatter, summary)
        with formatter.section("Example" if len(self.examples) == 1 else "Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        if details:
            formatter.write_paragraph()
            _write_indented(formatter, details)
        self.format_options(ctx, formatter)
        self.format_epilog(ctx, formatter)


def _write_indented(formatter: click.HelpFormatter, text: str) -> None:
    with formatter.indentation():
        formatter.write_text(text)


class ExampleCommand(_WithExamples):
    """A command whose help begins with examples and shows its options in groups."""

    def group_of(self, parameter: click.Parameter) -> str:
        """Return under which heading the help shows a parameter."""
        if isinstance(parameter, CommonOption) or "--help" in parameter.opts:
            return COMMON
        used = {word for line in self.examples for word in shlex.split(line)}
        is_needed = parameter.required or not used.isdisjoint(parameter.opts)
        return NEEDED if is_needed or isinstance(parameter, click.Argument) else FINE

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write arguments and options in three groups."""
        rows: dict[str, list[tuple[str, str]]] = {NEEDED: [], FINE: [], COMMON: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, DescribedArgument):
                record = (parameter.make_metavar(ctx), parameter.help or "")
            if record is not None:
                rows[self.group_of(parameter)].append(record)
        for title, group in rows.items():
            if group:
                with formatter.section(title):
                    formatter.write_dl(group)


class ExampleGroup(_WithExamples, click.Group):
    """A group of commands whose help begins with examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, (c.help or "").partition("\n\n")[0]) for name, c in found if c is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        click.Command.format_options(self, ctx, formatter)


def described_argument[F: Callable[..., Any] | click.Command](
    name: str, help: str, **attributes: Any
) -> Callable[[F], F]:
    """Return a decorator that adds an argument with a help text.

    Parameters
    ----------
    name
        Name of the function's argument.
    help
        What it is.
    **attributes
        Further arguments of `click.argument`.

    Returns
    -------
    callable
        Decorator of a command.
    """
    return click.argument(name, cls=DescribedArgument, help=help, **attributes)
