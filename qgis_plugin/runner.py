"""Run a program beside QGIS, whose end is never QGIS's end; and run algorithms as background tasks of QGIS."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from qgis import core
from qgis.core import QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtCore import QCoreApplication, QDir, QObject, QProcess, QProcessEnvironment, QThread, pyqtSignal

from . import interpreter
from .command import LineBuffer, clean_environment, parse_event, parse_result
from .tasks import Task
from .translation import say, tr
from .wording import Pace, advice, in_words

CHILD = str(Path(__file__).with_name("child.py"))
START_MS, POLL_MS, GRACE_SECONDS = 20_000, 100, 20.0
PLAIN_LINES, TAIL_LINES, CANCELLED = 300, 8, 130


class Listener:
    """Takes the child's lines and passes them on as QGIS's feedback, in the words of the form."""

    def __init__(
        self, feedback: QgsProcessingFeedback, command: str = "", task: Task | None = None, renamed: Any = None
    ) -> None:
        self.feedback = feedback
        self.errors, self.said = [], set()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._task, self._renamed = task, renamed or {}
        self._command, self._plain = command, 0
        self._pace = Pace(task.command[0] if task is not None and task.command else "")

    def words(self, message: str) -> str:
        """Return a message of the library as the form would say it."""
        for path, name in self._renamed.items():
            message = message.replace(f"'{path}'", f"'{name}'").replace(path, f"'{name}'")
        return in_words(message, self._task)

    def take(self, line: str) -> None:
        """Pass one line of the child on."""
        event = parse_event(line)
        kind, message = event["event"], str(event.get("message", ""))
        if kind == "progress":
            self._move(event, message)
        elif kind == "log":
            self.feedback.pushInfo(self.words(message))
            if self._command:
                self.feedback.pushCommandInfo(self._command)
                self._command = ""
        elif kind == "warning":
            self.said.add(message)
            self.feedback.pushWarning(self.words(message))
        elif kind == "error":
            self.errors.append(self.words(message))
        elif kind == "line":
            self._pass_plain(message)

    def _move(self, event: dict[str, Any], message: str) -> None:
        stage, fraction = str(event.get("stage", "")), event.get("fraction")
        fraction = float(fraction) if isinstance(fraction, (int, float)) else 0.0
        text = self._pace.move(stage, fraction, self.words(message))
        if text:
            self.feedback.setProgressText(text)
        self.feedback.setProgress(self._pace.percent)

    def _pass_plain(self, line: str) -> None:
        """Show what is no event, but not without end: a flood would freeze the window."""
        self.tail.append(line)
        self._plain += 1
        if self._plain <= PLAIN_LINES:
            self.feedback.pushConsoleInfo(line)
        elif self._plain == PLAIN_LINES + 1:
            self.feedback.pushInfo(tr("The program goes on writing; the rest is not shown."))

    def reason(self) -> str:
        """Return what the child gave as the reason of its failure, and advice where there is some."""
        reason = "\n".join(self.errors or self.tail)
        return f"{reason}\n{advice(reason)}".strip()


def run_geopointseg(
    arguments: list[str], feedback: QgsProcessingFeedback, task: Task | None = None, renamed: Any = None
) -> dict[str, Any]:
    """Run ``geopointseg`` with these arguments and return the result that it prints.

    ``renamed`` holds what to call a temporary file in messages, by its path. The result holds the
    warnings that were shown already under ``said``.

    Raises
    ------
    QgsProcessingException
        With the library's own sentence, in the words of the form, where it gave one.
    """
    if interpreter.problem():
        raise QgsProcessingException(interpreter.problem())
    python = interpreter.current()
    listener = Listener(feedback, shlex.join([python, "-m", "geopointseg", *arguments]), task, renamed)
    code, output = run_program(python, [CHILD, "geopointseg", *arguments], feedback, listener.take)
    result = parse_result(output)
    if feedback.isCanceled() or code == CANCELLED:
        raise QgsProcessingException(tr("Cancelled. No output was written."))
    if result is None or (code and listener.errors):
        raise QgsProcessingException(_failure(code, listener.reason()))
    return {**result, "said": listener.said}


def _failure(code: int, reason: str) -> str:
    """Return one message for a run that gave no result."""
    if code < 0:
        return f"{say('killed', code=-code)}\n{reason}".strip()
    return reason if code and reason else say("no_result", code=code)


def run_program(
    program: str, arguments: list[str], feedback: QgsProcessingFeedback, take_line: Callable[[str], None]
) -> tuple[int, str]:
    """Run a program to its end, or to its cancellation; return its exit code and what it printed.

    The code is negative where a signal ended it.
    """
    process = new_process()
    process.setReadChannel(QProcess.ProcessChannel.StandardError)
    process.start(program, arguments)
    if not process.waitForStarted(START_MS):
        found = {"program": program, "reason": process.errorString()}
        raise QgsProcessingException(tr("The program {program} could not be started: {reason}.", **found))
    identity = process.processId()
    try:
        _attend(process, feedback, take_line)
    finally:
        _end(process, identity)
    output = bytes(process.readAllStandardOutput()).decode("utf-8", "replace")
    crashed = process.exitStatus() == QProcess.ExitStatus.CrashExit
    return (-abs(process.exitCode()) if crashed else process.exitCode()), output


def _attend(process: QProcess, feedback: QgsProcessingFeedback, take_line: Callable[[str], None]) -> None:
    """Pass lines on until the process ends; on cancel, ask it to stop, then give up on it."""
    lines, deadline = LineBuffer(), float("inf")
    while process.state() != QProcess.ProcessState.NotRunning and time.monotonic() < deadline:
        process.waitForReadyRead(POLL_MS)
        for line in lines.feed(bytes(process.readAllStandardError())):
            take_line(line)
        _keep_window_alive()
        if feedback.isCanceled() and deadline == float("inf"):
            feedback.pushInfo(tr("Cancelling: waiting for the current step to end."))
            deadline = time.monotonic() + GRACE_SECONDS
            process.closeWriteChannel()  # the child's lifeline; a signal as well would be a second one
    for line in lines.feed(bytes(process.readAllStandardError())) + lines.close():
        take_line(line)


def _end(process: QProcess, identity: int) -> None:
    """Leave neither the process nor anything that it started."""
    running = process.state() != QProcess.ProcessState.NotRunning
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(identity, signal.SIGKILL)
    elif running:
        QProcess.execute("taskkill", ["/PID", str(identity), "/T", "/F"])
    if running:
        process.kill()
        process.waitForFinished(START_MS)


def _keep_window_alive() -> None:
    """Let the window answer where the run holds its thread, as in a batch."""
    application = QCoreApplication.instance()
    if application is not None and QThread.currentThread() == application.thread():
        QCoreApplication.processEvents()


def new_process(parent: QObject | None = None) -> QProcess:
    """Return a process with the child's environment and a neutral folder."""
    process, environment = QProcess(parent), QProcessEnvironment()
    inherited = {**os.environ, **interpreter.network()}
    for name, value in clean_environment(inherited, interpreter.proxy_url()).items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    process.setWorkingDirectory(QDir.tempPath())
    return process


class RunFeedback(QgsProcessingFeedback):
    """Keeps the warnings and errors of a run; QGIS writes everything to its log.

    It is called in the thread of the run: it touches no widget, and its signals are queued.
    ``stage`` tells what is done now, ``line`` all that a run says but its errors.
    """

    stage, line = pyqtSignal(str), pyqtSignal(str)
    lists_reports = False

    def __init__(self) -> None:
        super().__init__()
        self.errors, self.warnings = [], []

    def pushInfo(self, text: str) -> None:
        self.line.emit(text)
        super().pushInfo(text)

    def pushConsoleInfo(self, text: str) -> None:
        self.pushInfo(text)

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)
        self.line.emit(f"{tr('Note:')} {warning}")
        super().pushWarning(warning)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: FBT001, FBT002
        self.errors.append(error)
        super().reportError(error, fatalError)

    def setProgressText(self, text: str) -> None:
        self.stage.emit(text)
        self.line.emit(text)


class Runs(QObject):
    """Starts runs, one at a time; QGIS stays free for other work meanwhile.

    A run under way outlives the window that started it: its task holds plain pointers to algorithm,
    context and feedback, which ``kept`` therefore holds until its end.
    """

    running, progress, stage, line = pyqtSignal(bool), pyqtSignal(int), pyqtSignal(str), pyqtSignal(str)
    kept: ClassVar[dict[Any, tuple[Any, ...]]] = {}

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.task: Any = None

    def start(self, name: str, answers: dict[str, Any], then: Callable[..., None]) -> None:
        """Run ``geopointseg:name`` and call ``then(results, layers, feedback)`` at its end.

        Where it cannot start that is at once. A run that failed has a reason in ``feedback.errors``.
        """
        registry = core.QgsApplication.processingRegistry()
        algorithm, feedback = registry.createAlgorithmById(f"geopointseg:{name}"), RunFeedback()
        context = core.QgsProcessingContext()
        context.setProject(core.QgsProject.instance())
        missing = tr("The tool is missing. Enable the provider geopointseg in the Processing options.")
        ready, reason = algorithm.canExecute() if algorithm is not None else (False, missing)
        if ready:
            ready, reason = algorithm.checkParameterValues(answers, context)
        task = core.QgsProcessingAlgRunnerTask(algorithm, answers, context, feedback) if ready else None
        if task is None or task.isCanceled():  # its preparation failed
            feedback.errors = feedback.errors or [reason or tr("Cancelled. No output was written.")]
            then({}, [], feedback)
            return
        feedback.warnings.clear()  # those on unsaved edits: the panel shows them all the time
        self.task, self.kept[task] = task, (algorithm, context, feedback, then)
        feedback.progressChanged.connect(lambda percent: self.progress.emit(int(percent)))
        feedback.stage.connect(self.stage)
        feedback.line.connect(self.line)
        task.executed.connect(self._finish)
        self.running.emit(True)  # noqa: FBT003
        core.QgsApplication.taskManager().addTask(task)

    def cancel(self) -> None:
        """End the run; nothing is left of it."""
        if self.task is not None:
            self.stage.emit(tr("Cancelling…"))
            self.task.cancel()

    def _finish(self, good: bool, results: dict[str, Any]) -> None:  # noqa: FBT001  a slot
        _, context, feedback, then = self.kept.pop(self.task)
        layers = _load(context, feedback) if good else []
        self.task = None
        self.running.emit(False)  # noqa: FBT003
        if good:
            feedback.errors.clear()  # what was reported, but did not end the run
        elif not feedback.errors:
            feedback.errors.append(tr("Cancelled. No output was written."))
        then(results, layers, feedback)


def _load(context: Any, feedback: RunFeedback) -> list[core.QgsMapLayer]:
    """Add the results to the project with the styles that their tool gives them."""
    loaded = []
    for source, details in context.layersToLoadOnCompletion().items():
        found = core.QgsProcessingUtils.mapLayerFromString(source, context)
        if found is not None:
            details.setOutputLayerName(found)
            layer = details.project.addMapLayer(context.temporaryLayerStore().takeMapLayer(found))
            if details.postProcessor() is not None:
                details.postProcessor().postProcessLayer(layer, context, feedback)
            loaded.append(layer)
    return loaded
