"""Factor studies: all runs of a plan, tables and the report."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geopointseg.errors import Cancelled, OutputError
from geopointseg.lab.comparison import RunScore, judge
from geopointseg.lab.execution import do_runs
from geopointseg.lab.study_data import place_data
from geopointseg.lab.study_plan import StudyPlan, StudyRun, title_of
from geopointseg.progress import Reporter
from geopointseg.raster.publishing import whole_file


@dataclass(frozen=True)
class StudyResult:
    """Results of a study.

    Parameters
    ----------
    plan
        The plan.
    scores
        One for each run, in the order of the plan; failed runs have a reason.
    folder
        Folder of tables, figures and report.
    """

    plan: StudyPlan
    scores: tuple[RunScore, ...]
    folder: Path

    def ours(self, data: str) -> list[RunScore]:
        """Return the finished runs of a data set that are not baselines."""
        return [
            s
            for s in self.scores
            if s.data == data and "baseline" not in s.levels and not s.failure
        ]

    def baseline(self, data: str, name: str) -> list[RunScore]:
        """Return the finished runs of one baseline on a data set."""
        own = (s for s in self.scores if s.data == data and not s.failure)
        return [s for s in own if s.levels.get("baseline") == name]

    def columns(self, data: str) -> dict[str, list[RunScore]]:
        """Return the runs of the best combination of levels on a data set, and of each baseline at its best levels."""
        ours = _best_group(self.ours(data))
        columns = {level_name(ours[0]): ours} if ours else {}
        for name in self.plan.baselines:
            found = _best_group(self.baseline(data, name))
            if found:
                columns[level_name(found[0])] = found
        return columns

    def level_rows(self) -> list[tuple[str, ...]]:
        """Return one row for each combination of levels: name, then mean F1 +- standard deviation by data set."""
        rows: list[tuple[str, ...]] = []
        for name in dict.fromkeys(level_name(score) for score in self.scores):
            chosen = [score for score in self.scores if level_name(score) == name]
            cells = [_cell([s for s in chosen if s.data == data.name]) for data in self.plan.data]
            rows.append((name, *cells))
        return rows

    def hypothesis_rows(self) -> list[tuple[str, str, str]]:
        """Return one row for each hypothesis: its text, its outcome, and the measured difference."""
        rows: list[tuple[str, str, str]] = []
        for hypothesis in self.plan.hypotheses:
            outcome, compared = judge(hypothesis, self.scores)
            rows.append((hypothesis.text, outcome, compared.phrase))
        return rows

    def tables(self) -> list[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
        """Return the tables to print: title, headings, rows."""
        names = [data.name for data in self.plan.data]
        seeds = len(self.plan.seeds)
        tables: list[tuple[str, Sequence[str], list[tuple[str, ...]]]] = [
            (
                f"Mean F1 in percent +- standard deviation over {seeds} seeds",
                ["levels", *names],
                self.level_rows(),
            )
        ]
        if self.plan.hypotheses:
            headings = ["hypothesis", "outcome", "difference in mean F1"]
            tables.append(
                ("Hypotheses, as stated before the runs", headings, list(self.hypothesis_rows()))
            )
        return tables

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "title": self.plan.title,
            "folder": str(self.folder),
            "runs": len(self.scores),
            "failed": sum(bool(score.failure) for score in self.scores),
            "hypotheses": [
                dict(zip(("text", "outcome", "difference"), row, strict=True))
                for row in self.hypothesis_rows()
            ],
            "scores": [dataclasses.asdict(score) for score in self.scores],
        }


def run_study(
    study_file: str | Path,
    output: str | Path,
    *,
    quick: bool = False,
    jobs: int = 1,
    seed: int = 0,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> StudyResult:
    """Execute all runs of a study file and write tables, figures and the report.

    Runs with results in the output folder for the same data, levels and settings are not repeated. If a run fails, the
    others continue.

    Parameters
    ----------
    study_file
        The plan; see `geopointseg.lab.study_plan`.
    output
        Output folder.
    quick
        Run a small version of the plan, as a test.
    jobs
        Number of runs at the same time, each in its own process.
    seed
        Added to every seed of the plan.
    device
        ``auto``, ``cpu`` or ``cuda``.
    reporter
        Receives progress.

    Returns
    -------
    StudyResult
        Scores, tables and outcomes of the hypotheses.

    Raises
    ------
    ConfigError, InputFileError
        If the plan is not valid.
    OutputError
        If the folder cannot be written.
    Cancelled
        If cancellation was requested: running trainings end at their next step, and finished results stay.
    """
    from geopointseg.lab.study_report import write_study_report

    reporter = reporter or Reporter()
    plan = StudyPlan.read(study_file)
    plan = plan.quick() if quick else plan
    if seed:
        plan = dataclasses.replace(plan, seeds=tuple(seed + s for s in plan.seeds))
    folder = Path(output)
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"'{folder}' cannot be written ({error.strerror}). Choose another folder."
        ) from error
    runs = list(plan.runs())
    placed = [place_data(data, folder / "placed" / data.name, reporter) for data in plan.data]
    plan = dataclasses.replace(plan, data=tuple(placed))
    try:
        scores = do_runs(plan, runs, folder / "runs", jobs, device, reporter)
    except Cancelled:
        raise Cancelled(
            "Cancelled; the finished runs are kept. Repeat the command to continue."
        ) from None
    result = StudyResult(plan, tuple(scores), folder)
    _write_csv(scores, folder / "scores.csv")
    _write_tensorboard(scores, folder / "tensorboard")
    write_study_report(result)
    return result


def _best_group(scores: Sequence[RunScore]) -> list[RunScore]:
    """Return the runs of the combination of levels with the highest mean."""
    groups: dict[str, list[RunScore]] = {}
    for score in scores:
        groups.setdefault(level_name(score), []).append(score)
    return max(groups.values(), key=lambda g: float(np.mean([s.mean_f1 for s in g])), default=[])


def level_name(score: RunScore | StudyRun) -> str:
    """Return the name of a combination of levels in tables."""
    levels = dict(score.levels)
    start = [str(levels.pop("baseline"))] if "baseline" in levels else []
    return ", ".join(start + [f"{title_of(name)} {level}" for name, level in levels.items()])


_CSV_FIELDS = (
    "seed", "mean_f1", "overall_accuracy", "seconds", "cpu_seconds", "steps", "failure",
)  # fmt: skip


def _write_csv(scores: Sequence[RunScore], path: Path) -> None:
    factors = dict.fromkeys(name for score in scores for name in score.levels)
    classes = dict.fromkeys(name for score in scores for name in score.class_f1 or {})
    headings = ["data", *factors, *_CSV_FIELDS, *(f"f1 {name}" for name in classes)]
    with (
        whole_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(headings)
        for s in scores:
            levels = [s.levels.get(name, "") for name in factors]
            values = [getattr(s, name) for name in _CSV_FIELDS]
            by_class = [(s.class_f1 or {}).get(name, "") for name in classes]
            writer.writerow([s.data, *levels, *values, *by_class])


def _write_tensorboard(scores: Sequence[RunScore], folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    for score in scores:
        if not score.failure:
            name = f"{score.data}/{level_name(score)}".replace(" ", "_")
            with SummaryWriter(str(folder / name)) as writer:
                writer.add_scalar("mean_f1", score.mean_f1, score.seed)
                writer.add_scalar("overall_accuracy", score.overall_accuracy, score.seed)
                for class_name, f1 in (score.class_f1 or {}).items():
                    writer.add_scalar(f"f1/{class_name}", f1, score.seed)


def _cell(scores: Sequence[RunScore]) -> str:
    done = np.array([score.mean_f1 for score in scores if not score.failure])
    failed = sum(bool(score.failure) for score in scores)
    if not done.size:
        return "failed" if failed else "-"
    deviation = f" +- {100 * done.std(ddof=1):.1f}" if done.size > 1 else ""
    return f"{100 * done.mean():.1f}{deviation}" + (f" ({failed} failed)" if failed else "")
