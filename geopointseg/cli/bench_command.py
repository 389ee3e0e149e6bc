"""The command that runs benchmarks on this machine: bench."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import click

import geopointseg
from geopointseg.cli.help_page import ExampleCommand, described_argument
from geopointseg.cli.invocation import Invocation, Table, common_options
from geopointseg.errors import InputFileError

_SCRIPTS = {"predict": "bench_predict.py", "sample": "bench_sampling.py", "points": "bench_mask.py"}


@click.command(
    "bench",
    context_settings={"ignore_unknown_options": True},
    cls=ExampleCommand,
    examples=(
        "geopointseg bench live",
        "geopointseg bench predict --width 8192",
    ),
)
@described_argument("what", "What to measure.", type=click.Choice([*_SCRIPTS, "live"]))
@described_argument("arguments", "Options of the benchmark.", nargs=-1, type=click.UNPROCESSED)
@common_options
def bench_command(run: Invocation, what: str, arguments: tuple[str, ...]) -> None:
    """Measure prediction, sampling or rasterizing relative to other software, or a live session.

    Further ARGUMENTS are passed to the benchmark; 'bench predict -- --help' lists those of 'predict'. 'points' takes the number of points and
    the side of the raster in pixels, 'live' takes none.
    """
    if what == "live":
        _run_live(run, arguments)
        return
    script = Path(geopointseg.__file__).parent.parent / "tests" / "benchmarks" / _SCRIPTS[what]
    if not script.exists():
        raise InputFileError(
            f"The benchmark '{script.name}' is not part of an installed package. "
            "Clone the repository, install it with pip install -e . and run geopointseg bench from there."
        )
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")
    run.reporter.close()


def _run_live(run: Invocation, arguments: tuple[str, ...]) -> None:
    """Measure a live session on a generated mosaic."""
    from geopointseg.live.live_benchmark import run_live_benchmark

    if arguments:
        raise click.UsageError(f"'bench live' takes no arguments, but got {' '.join(arguments)}.")
    found = {name: round(value, 4) for name, value in run_live_benchmark().items()}
    run.finish(
        found, Table("Live session, 4096 x 4096 pixels", ["measure", "value"], list(found.items()))
    )
