"""The command for factor experiments: study."""

from __future__ import annotations

import click

from geopointseg.cli.help_page import ExampleCommand, described_argument
from geopointseg.cli.invocation import Invocation, common_options
from geopointseg.errors import TrainingError


@click.command(
    "study",
    cls=ExampleCommand,
    examples=("geopointseg study study.toml -o results",),
)
@described_argument("study_file", "Data, factors and levels of the study.", metavar="STUDY.toml")
@click.option(
    "-o", "--output", required=True, metavar="DIR", help="Folder of tables, figures and the report."
)
@click.option(
    "--quick", is_flag=True, help="Run a small version: one data set, one seed, a few steps."
)
@click.option("--jobs", type=int, default=1, show_default=True, help="Runs at the same time.")
@common_options
def study_command(run: Invocation, study_file: str, output: str, quick: bool, jobs: int) -> None:
    """Train and assess at all levels of the factors of a study, and write the report."""
    from geopointseg.lab.factor_study import level_name, run_study
    from geopointseg.setting import require_number

    require_number("The number of jobs", jobs, minimum=1)
    done = run_study(
        study_file,
        output,
        quick=quick,
        jobs=jobs,
        seed=run.seed,
        device=run.device,
        reporter=run.reporter,
    )
    failed = [
        f"{level_name(score)} ({score.data}, seed {score.seed}) failed: {score.failure}"
        for score in done.scores
        if score.failure
    ]
    run.finish(done.to_json(), *done.tables(), *failed, f"The report is in {output}.")
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(done.scores)} runs failed, the first: {failed[0]} Expected all to succeed; the other "
            "results are kept, and repeating the command tries the failed runs again."
        )
