"""Set up: a private Python for geopointseg, beside QGIS and never inside it."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig
from qgis.core import QgsApplication, QgsProcessingException
from qgis.PyQt.QtCore import QStandardPaths
from qgis.PyQt.QtWidgets import QWidget

from . import interpreter, runner
from .algorithm import Answers, CommandAlgorithm, Context, Feedback
from .child import NEEDS_PYTHON, dotted
from .translation import refuse, say, tr
from .wording import duration

QUIET = ("Requirement already satisfied", "  Using cached", "Looking in", "  Preparing metadata")
INDEXES = re.compile(r"--(index-url|extra-index-url|find-links|no-index)\b|(^|\s)-[if]\b")
TORCH = "https://download.pytorch.org/whl/{kind}"  # PyPI's wheels for Linux hold 4 GB for graphics cards
MEGABYTES, DISK_GB = {False: 1000.0, True: 4800.0}, {False: 4.0, True: 12.0}  # without and with a graphics card
SAID_EVERY_S, SMALL_MB, LONGEST_PATH = 8.0, 50.0, 60  # paths below site-packages have up to 190 characters


class CreateEnvironment(CommandAlgorithm):
    """Makes a virtual environment, installs geopointseg into it, and sets it as the interpreter."""

    made = ""

    def canExecute(self) -> tuple[bool, str]:
        return True, ""

    def createCustomParametersWidget(self, parent: QWidget | None = None) -> QWidget:
        """Open the page that also finds environments, in place of a form."""
        from .setup_page import SetupPage

        return SetupPage(parent)

    def run_command(self, _answers: Answers, _context: Context, feedback: Feedback) -> Answers:
        """Make the environment and install; it is set when all is done."""
        folder = Path(self.values["FOLDER"] or interpreter.default_folder()).absolute()
        fresh = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        refuse_folder(folder, fresh=fresh)
        python = find_python(self.values["PYTHON"], feedback) if fresh else ""
        options = self.values["PIP_OPTIONS"] or ""
        package = find_package(self.values["PACKAGE"], options)
        gpu, made = bool(self.values["GPU"]), str(folder / interpreter.INSIDE)
        warn_disk(folder, DISK_GB[gpu], feedback)
        try:
            if fresh:
                make_environment(folder, python, feedback)
            install(made, package, options.split(), feedback, gpu=gpu)
        except QgsProcessingException:
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self.made = made
        return self.conclude({"INTERPRETER": made}, feedback)

    def postProcessAlgorithm(self, _context: Context, _feedback: Feedback) -> Answers:
        """Set the new interpreter, in QGIS's own thread."""
        ProcessingConfig.setSettingValue(interpreter.SETTING, self.made)
        return {}


def find_package(asked: str | None, options: str) -> str:
    """Return what pip installs: a wheel, a folder, or a name where its source is named too.

    A bare name is refused: on a public index it could be anybody's package.
    """
    bundled = sorted(Path(__file__).parent.glob("geopointseg-*.whl"))
    path = Path(asked or (bundled[-1] if bundled else "")).expanduser()
    if (asked or bundled) and path.exists():
        return str(path.absolute())
    if asked and (path.suffix == ".whl" or len(path.parts) > 1):
        refuse("no_such_package", path=asked)
    if not (asked and INDEXES.search(options)):
        refuse("choose_package")
    return str(asked)


def refuse_folder(folder: Path, *, fresh: bool) -> None:
    """Raise where an environment would do harm or would not work."""
    if not fresh and not (folder / "pyvenv.cfg").exists():
        refuse("folder_in_use", folder=folder)
    roaming = [Path(QgsApplication.qgisSettingsDirPath()), Path(__file__).parent]
    if fresh and any(Path(place).absolute() in folder.parents for place in roaming):
        refuse("folder_travels", folder=folder, free=interpreter.default_folder())
    if interpreter.IS_WINDOWS and len(str(folder)) > LONGEST_PATH:
        refuse("path_too_long", folder=folder, length=len(str(folder)))


def warn_disk(folder: Path, needed_gb: float, feedback: Feedback) -> None:
    """Warn where the disk will not hold the environment."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    if free_gb < needed_gb:
        feedback.pushWarning(say("disk_too_small", folder=folder, free=f"{free_gb:.1f}", needed=f"{needed_gb:.0f}"))


def find_python(asked: str | None, feedback: Feedback) -> str:
    """Return a Python that is new enough: the one asked for, or the first found; empty for none."""
    seen = []
    for path in [asked] if asked else interpreter.candidates():
        version, _ = interpreter.probe(path, feedback)
        if version >= NEEDS_PYTHON:
            return path
        seen.append(f"{path} ({dotted(version) or '?'})")
    found = {"needed": dotted(NEEDS_PYTHON), "seen": ", ".join(seen) or "-"}
    text = tr("No Python {needed} or newer was found; looked at: {seen}.", **found)
    if asked:
        advice = tr("Choose another one, or leave the field empty to have one downloaded.")
        raise QgsProcessingException(f"{text} {advice}")
    feedback.pushInfo(text)
    return ""


def make_environment(folder: Path, python: str, feedback: Feedback) -> None:
    """Make an environment with a Python of this machine, or with a standalone one where none fits."""
    if python:
        feedback.pushInfo(tr("Making an environment with {path}.").format(path=python))
        if run_step(python, ["venv", str(folder)], feedback, needed=False):
            return
        shutil.rmtree(folder, ignore_errors=True)  # Debian's Python, for one, may lack a part
    uv = find_uv(feedback) or refuse("no_python", needed=dotted(NEEDS_PYTHON))
    feedback.pushInfo(tr("A standalone Python is downloaded, with {path}.").format(path=uv))
    alone = ["--seed", "--python", dotted(NEEDS_PYTHON), "--python-preference", "only-managed"]
    run_step(uv, ["venv", *alone, str(folder)], feedback, child=())


def find_uv(feedback: Feedback) -> str:
    """Return the program ``uv``, which brings a standalone Python; any pip fetches it."""
    home = interpreter.default_folder().parent / "uv"
    places = (home / "bin", Path.home() / ".local" / "bin", Path.home() / ".cargo" / "bin")
    fetch = ["pip", "install", "--target", str(home), "--only-binary", ":all:", "uv"]
    for _ in range(2):
        found = QStandardPaths.findExecutable("uv") or QStandardPaths.findExecutable("uv", list(map(str, places)))
        pythons = [] if found else interpreter.candidates(own=True)
        if found or not any(run_step(path, fetch, feedback, needed=False) for path in pythons):
            break
    return found


def install(made: str, package: str, options: list[str], feedback: Feedback, *, gpu: bool) -> None:
    """Install geopointseg, with the libraries for the processor alone unless a card is wanted."""
    downloads, pip = Downloads(feedback, MEGABYTES[gpu]), ["pip", "install", "--upgrade", *options, "--progress-bar"]
    run_step(made, [*pip, "off", "pip"], feedback, downloads, needed=False)  # old ones count no bytes
    downloads.rise(1.0)
    pip += ["raw" if _pip_version(made, feedback) >= (24, 1) else "off"]
    kind = {False: "cpu", True: "cu126" if interpreter.IS_WINDOWS else ""}[gpu]
    if kind and not interpreter.IS_MAC and not INDEXES.search(" ".join(options)):
        torch = ["--index-url", TORCH.format(kind=kind), "torch", "torchvision"]
        if not run_step(made, [*pip, *torch], feedback, downloads, needed=False):
            feedback.pushWarning(tr("The larger libraries of the public index are used instead."))
    run_step(made, [*pip, package], feedback, downloads)


def _pip_version(made: str, feedback: Feedback) -> tuple[int, ...]:
    lines: list[str] = []
    runner.run_program(made, [runner.CHILD, "pip", "--version"], feedback, lines.append)
    found = re.search(r"pip (\d+)\.(\d+)", "\n".join(lines))
    return tuple(map(int, found.groups())) if found else (0,)


class Downloads:
    """Turns pip's lines into one progress in megabytes, with the time left; each line is said once."""

    def __init__(self, feedback: Feedback, expected_mb: float) -> None:
        self.listener, self.feedback = runner.Listener(feedback), feedback
        self.expected_mb, self.done_mb, self.now_mb = expected_mb, 0.0, 0.0
        self.name, self._from, self._said, self.percent = "", time.monotonic(), 0.0, 0.0

    def take(self, line: str) -> None:
        """Take one line of pip."""
        raw = re.match(r"Progress (\d+) of (\d+)", line)
        file = re.match(r"\s*Downloading (\S+?)-\d\S* ", line)
        if raw:
            self._move(int(raw[1]) / 1e6, int(raw[2]) / 1e6)
        elif line.startswith("Installing collected"):
            self._finish_file()
            if self.done_mb > SMALL_MB:
                self.rise(96.0)
                self.feedback.setProgressText(tr("Unpacking; this takes some minutes."))
        elif file:
            self._finish_file()
            self.name = Path(file[1]).name
        elif line.startswith(("Collecting", "Processing")):
            self.listener.tail.append(line)
        elif not line.startswith(QUIET):
            self.listener.take(line)

    def rise(self, percent: float) -> None:
        """Move the bar, never back."""
        self.percent = max(self.percent, percent)
        self.feedback.setProgress(self.percent)

    def _finish_file(self) -> None:
        self.done_mb, self.now_mb = self.done_mb + self.now_mb, 0.0

    def _move(self, got_mb: float, size_mb: float) -> None:
        self.now_mb, whole = got_mb, self.done_mb + got_mb
        expected = max(self.expected_mb, 1.05 * (self.done_mb + size_mb))
        self.rise(95.0 * whole / expected)
        now = time.monotonic()
        if now - self._said > SAID_EVERY_S and size_mb > 1.0:
            self._said = now
            left = duration((now - self._from) * (expected - whole) / max(whole, 1.0))
            found = {"name": self.name, "got": f"{got_mb:.0f}", "size": f"{size_mb:.0f}"}
            self.feedback.setProgressText(say("downloading", time=left, **found))


def run_step(
    program: str, arguments: list[str], feedback: Feedback, downloads: Downloads | None = None, *,
    needed: bool = True, child: tuple[str, ...] = (runner.CHILD,),
) -> bool:  # fmt: skip
    """Run one step and return whether it went well; a needed one fails with its last lines as reason."""
    downloads = downloads or Downloads(feedback, MEGABYTES[False])
    code, _ = runner.run_program(program, [*child, *arguments], feedback, downloads.take)
    if feedback.isCanceled():
        raise QgsProcessingException(tr("Cancelled. The unfinished environment was removed."))
    if code:
        words = arguments[:2] if child else [Path(program).stem, *arguments[:1]]
        reason = say("step_failed", step=" ".join(words)) + "\n" + downloads.listener.reason()
        if needed:
            raise QgsProcessingException(reason)
        feedback.pushWarning(reason)
    return code == 0
