"""Create environment: a private Python for geopointseg, beside QGIS and never inside it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import QgsApplication, QgsProcessingException

from . import interpreter, runner
from .algorithm import Answers, CommandAlgorithm, Context, Feedback
from .child import NEEDS_PYTHON, dotted
from .translation import tr

VERSION_CODE = "import sys; sys.stderr.write('version %d.%d\\n' % sys.version_info[:2])"
INSTALL = ["pip", "install", "--upgrade", "--progress-bar", "off"]
PIP_STEPS = ("Collecting", "Processing", "Downloading", "Using cached", "Installing")


class CreateEnvironment(CommandAlgorithm):
    """Makes a virtual environment, installs geopointseg into it, and sets it as the interpreter."""

    def canExecute(self) -> tuple[bool, str]:
        return True, ""

    def processAlgorithm(self, _answers: Answers, _context: Context, feedback: Feedback) -> Answers:
        """Make the environment, install, and only then set it."""
        default = Path(QgsApplication.qgisSettingsDirPath(), "geopointseg_environment")
        folder = Path(self.values["FOLDER"] or default)
        fresh = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        if not fresh and not (folder / "pyvenv.cfg").exists():
            message = tr(
                "The folder {folder} holds other files. An environment needs a new or empty folder, or one made by 'Create environment' before. Choose another one."
            )
            raise QgsProcessingException(message.format(folder=folder))
        made = str(folder / interpreter.INSIDE)
        try:
            if fresh:
                python = find_python(self.values["PYTHON"], feedback)
                feedback.pushInfo(tr("Making an environment with {path}.").format(path=python))
                run_step(python, ["venv", str(folder)], feedback)
            options = (self.values["PIP_OPTIONS"] or "").split()
            run_step(made, [*INSTALL, *options, self.values["PACKAGE"]], feedback)
        except QgsProcessingException:
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        ProcessingConfig.setSettingValue(interpreter.SETTING, made)
        feedback.pushInfo(tr("Done. Run 'Check environment' to see what it can do."))
        return {"INTERPRETER": made}


def find_python(asked: str | None, feedback: Feedback) -> str:
    """Return a Python that is new enough: the one asked for, or the first found."""
    seen = []
    for path in [asked] if asked else interpreter.candidates():
        lines: list[str] = []
        runner.run_program(path, ["-c", VERSION_CODE], feedback, lines.append)
        found = re.search(r"version (\d+)\.(\d+)", "\n".join(lines))
        if found and tuple(map(int, found.groups())) >= NEEDS_PYTHON:
            return path
        seen.append(f"{path} ({'.'.join(found.groups()) if found else '?'})")
    message = tr(
        "No Python {needed} or newer was found; looked at: {seen}. Install one from python.org or your system's packages, then choose it here."
    )
    seen = ", ".join(seen) or "-"
    raise QgsProcessingException(message.format(needed=dotted(NEEDS_PYTHON), seen=seen))


def run_step(program: str, arguments: list[str], feedback: Feedback) -> None:
    """Run one step; its last lines are the reason if it fails."""
    listener, steps = runner.Listener(feedback), []

    def take(line: str) -> None:
        listener.take(line)
        if line.startswith(PIP_STEPS):
            steps.append(line)
            feedback.setProgressText(line)
            feedback.setProgress(100.0 * len(steps) / (len(steps) + 40.0))

    code, _ = runner.run_program(program, [runner.CHILD, *arguments], feedback, take)
    if feedback.isCanceled():
        raise QgsProcessingException(tr("Cancelled. The unfinished environment was removed."))
    if code:
        message = tr("'{step}' failed. Check the network and QGIS's proxy, then try again.")
        step = " ".join(arguments[:2])
        raise QgsProcessingException(f"{message.format(step=step)}\n{listener.reason()}")
