"""The worker of Live: one process beside QGIS that speaks JSON lines; nothing here ever waits for it."""

import json
from collections.abc import Callable
from typing import Any

from qgis.core import QgsProcessingFeedback
from qgis.PyQt.QtCore import QCoreApplication, QObject, QProcess, QTimer, pyqtSignal

from . import interpreter, runner
from .command import LONGEST_LINE, LineBuffer, parse_result
from .translation import say, tr

Answer = dict[str, Any]
GRACE_MS = 3000


class Worker(QObject):
    """One session of ``geopointseg live``: requests with an answer each, and news that nobody asked for.

    It ends when its standard input is closed, and so with QGIS.
    """

    told, ended = pyqtSignal(dict), pyqtSignal(str)

    def __init__(self, raster: str, parent: QObject) -> None:
        super().__init__(parent)
        self.process, self.lines, self.heard = runner.new_process(self), LineBuffer(), LineBuffer()
        self.listener = runner.Listener(QgsProcessingFeedback())
        self.waiting, self.number = {}, 0  # what takes the answer to a request, by its number
        self.process.readyReadStandardOutput.connect(self._read)
        self.process.readyReadStandardError.connect(self._hear)
        self.process.finished.connect(self._end)
        self.process.errorOccurred.connect(self._fail)
        arguments = [runner.CHILD, "geopointseg", "live", "--raster", raster, "--progress", "json"]
        self.process.start(interpreter.current(), arguments)

    def ask(self, do: str, then: Callable[[Answer], None], **what: Any) -> int:
        """Send a request; ``then`` takes each of its answers. Return its number, 0 where it is too long."""
        line = json.dumps({"id": self.number + 1, "do": do, **what}) + "\n"
        if len(line) > LONGEST_LINE:
            return 0
        self.number += 1
        self.waiting[self.number] = then
        if self.process.state() != QProcess.ProcessState.NotRunning:  # one that starts may have answered already
            self.process.write(line.encode())
        return self.number

    def stop(self) -> None:
        """Let the process end by itself; kill it if it does not, and hear no more of it.

        It outlives the panel: Qt waits for a running process that is destroyed.
        """
        self.blockSignals(True)  # noqa: FBT003
        self.waiting.clear()
        self.process.closeWriteChannel()
        if self.process.state() == QProcess.ProcessState.NotRunning:
            self.deleteLater()
            return
        self.setParent(QCoreApplication.instance())
        self.process.finished.connect(self.deleteLater)
        QTimer.singleShot(GRACE_MS, self.process.kill)

    def _read(self) -> None:
        for line in self.lines.feed(bytes(self.process.readAllStandardOutput())):
            answer = parse_result(line) or {}
            if "ok" not in answer:
                self.told.emit(answer)
            elif answer.get("id") in self.waiting:
                unfinished = answer["ok"] and answer.get("final") is False
                take = self.waiting.get if unfinished else self.waiting.pop
                take(answer["id"])(answer)

    def _hear(self) -> None:
        for line in self.heard.feed(bytes(self.process.readAllStandardError())):
            self.listener.take(line)

    def _fail(self, kind: QProcess.ProcessError) -> None:
        if kind == QProcess.ProcessError.FailedToStart:
            self.ended.emit(self.process.errorString())

    def _end(self, code: int, status: QProcess.ExitStatus) -> None:
        self._hear()
        reason = "\n".join(self.listener.errors)
        if status == QProcess.ExitStatus.CrashExit:
            reason = reason or tr("its process was killed (signal {code})", code=code)
        self.ended.emit(reason or say("no_result", code=code))
