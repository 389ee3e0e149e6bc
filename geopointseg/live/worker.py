"""The loop of a live session: it takes requests, calls the session, and gives answers."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geopointseg.config import Config
from geopointseg.errors import Cancelled, GeopointsegError, is_out_of_memory
from geopointseg.live.mailbox import CANCELLED, NEWER_VIEW, Inbox, Outbox
from geopointseg.live.message import ProtocolError, Refusal, Request
from geopointseg.live.picture_files import PictureFiles
from geopointseg.live.question import Questions
from geopointseg.live.session import LiveSession, Picture
from geopointseg.live.view_pyramid import read_bounds
from geopointseg.progress import Reporter

IDLE_S = 2.0
"""Time without requests after which the accuracy is estimated, in seconds."""
PATIENCE_S = 1.0
"""A view is left unfinished for a newer one, but not for longer than this without any picture, in seconds."""
_TICK_S = 0.25
_SHOWN = 200
_PROGRESS_AFTER_S = 0.5


class _Abandoned(Exception):
    """The current request was cancelled, or a newer view makes it needless."""


@dataclass
class Worker:
    """Executes the requests of one client.

    Parameters
    ----------
    session
        The session.
    inbox, outbox
        Requests and answers.
    files
        Where pictures are written.
    reporter
        Carries cancellation by a signal.
    config
        Settings of the imagery, for saved models.
    """

    session: LiveSession
    inbox: Inbox
    outbox: Outbox
    files: PictureFiles
    reporter: Reporter
    config: Config
    _questions: Questions = field(init=False)
    _picture_at: float = field(default_factory=time.monotonic)
    _estimates: bool = True
    _estimated: int = 0
    _used_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._questions = Questions(self.session)
        self._verbs: Mapping[str, Callable[[Request], object]] = {
            "add": self._add,
            "remove": self._remove,
            "move": self._move,
            "relabel": self._relabel,
            "points": self._points,
            "classes": self._classes,
            "view": self._view,
            "next": self._next,
            "accuracy": self._accuracy,
            "save": self._save,
            "state": self._state,
        }

    def run(self) -> None:
        """Execute requests until the client quits, closes its end, or the process is told to stop."""
        while not (self.reporter.is_cancelled or self.outbox.is_broken):
            item = self.inbox.get(_TICK_S)
            if item is None:
                if self.inbox.is_closed and self.inbox.is_empty:
                    return
                self._work_idly()
            elif isinstance(item, Refusal):
                self.outbox.answer(item.identifier, ok=False, error=item.error)
            elif item.verb == "quit":
                self.outbox.answer(item.identifier, ok=True)
                return
            else:
                self.execute(item)
            self._used_at = self._used_at if item is None else time.monotonic()

    def execute(self, request: Request) -> None:
        """Execute one request; every failure becomes an answer."""
        try:
            self._verbs[request.verb](request)
        except _Abandoned as reason:
            self.outbox.answer(request.identifier, ok=False, cancelled=True, error=str(reason))
        except Cancelled:
            self.outbox.answer(request.identifier, ok=False, cancelled=True, error=CANCELLED)
        except GeopointsegError as error:
            self.outbox.answer(request.identifier, ok=False, error=str(error))
        except Exception as error:  # noqa: BLE001 - the session goes on after any failure
            self.outbox.answer(request.identifier, ok=False, error=_explain(error))
        finally:
            self.inbox.finish()

    def _answer(self, request: Request, **content: Any) -> None:
        self.outbox.answer(request.identifier, ok=True, **content)

    def _add(self, request: Request) -> None:
        self._answer(request, point=self.session.points.add(request.body))

    def _remove(self, request: Request) -> None:
        point = self.session.points.remove(request.body.get("point"))
        self._answer(request, point=point.identifier)

    def _move(self, request: Request) -> None:
        self.session.points.move(request.body.get("point"), request.body)
        self._answer(request, point=request.body["point"])

    def _relabel(self, request: Request) -> None:
        self.session.points.relabel(request.body.get("point"), request.body.get("class"))
        self._answer(request, point=request.body["point"])

    def _points(self, request: Request) -> None:
        self.session.scene.require_unchanged()
        problems = self.session.points.replace_all(_read_list(request.body, "points"))
        self._answer(request, points=len(self.session.points), problems=problems)

    def _classes(self, request: Request) -> None:
        points = self.session.points
        points.set_legend(_read_list(request.body, "legend"))
        self._answer(request, legend=points.legend.to_json(), problems=points.problems())

    def _state(self, request: Request) -> None:
        self._answer(request, **self.session.describe())

    def _view(self, request: Request) -> None:
        body = request.body
        pictures = self.session.view(
            read_bounds(body.get("bounds")),
            _read_side(body, "width"),
            _read_side(body, "height"),
            coarse=body.get("coarse") is not False,
            check=self._check(request),
        )
        for picture in pictures:
            self._send(request, picture)
            if not picture.final:
                self._check(request)(0.0)

    def _send(self, request: Request, picture: Picture) -> None:
        counts = self.session.points.counts()
        content: dict[str, Any] = {
            "ok": True,
            "final": picture.final,
            "classes": self.files.write("classes", picture.classes),
            "legend": list(picture.legend),
            "counts": counts,
            "weak": [name for name, count in counts.items() if count == 1],
            "pixels_per_value": float(1 << picture.level),
        }
        if request.body.get("confidence") is True:
            content["confidence"] = self.files.write("confidence", picture.confidence)
        self.outbox.picture(request.identifier, **content)
        self._picture_at = time.monotonic()

    def _next(self, request: Request) -> None:
        bounds = request.body.get("bounds")
        place = self._questions.ask(
            None if bounds is None else read_bounds(bounds), self._check(request)
        )
        self._answer(request, **place.to_json())

    def _accuracy(self, request: Request) -> None:
        auto = request.body.get("auto")
        if isinstance(auto, bool):
            self._estimates = auto
        check = self._check(request)
        for estimate in self.session.accuracy(check):
            check(0.0)
            if estimate is not None:
                self._answer(request, **estimate.to_json())

    def _save(self, request: Request) -> None:
        from geopointseg.live.model_saving import require_model_folder, save_model

        folder = _read_folder(request.body)
        require_model_folder(folder)
        self.session.scene.require_unchanged()
        check = self._check(request)
        self.session.fitted(0, check)
        self.inbox.finish()  # what is being written is no longer cancelled
        check(1.0)
        bundle = save_model(self.session, folder, self.config)
        members = [member.kind for member in bundle.members]
        self._answer(request, folder=request.body["folder"], members=members)

    def _check(self, request: Request) -> Callable[[float], object]:
        """Return a function that long work calls: it sends progress, and raises if the request is out of date."""
        started = sent = time.monotonic()

        def check(share: float) -> None:
            nonlocal sent
            now = time.monotonic()
            is_leaving = request.verb != "save" and self.inbox.holds("quit")
            if self.reporter.is_cancelled or self.inbox.is_cancelled or is_leaving:
                raise _Abandoned(CANCELLED)
            is_old = request.verb == "view" and self.inbox.holds("view")
            if is_old and (now - self._picture_at < PATIENCE_S or now - started > 2 * PATIENCE_S):
                raise _Abandoned(NEWER_VIEW)
            if now - started > _PROGRESS_AFTER_S and now - sent > _TICK_S:
                sent = now
                event = {"event": "progress", "stage": request.verb, "fraction": round(share, 3)}
                self.outbox.progress(request.identifier, **event)

        return check

    def _work_idly(self) -> None:
        """Estimate the accuracy after a change of the points, until a request arrives."""
        version = self.session.points.version
        is_new = version != self._estimated and self._estimates
        if not is_new or time.monotonic() - self._used_at < IDLE_S:
            return

        def check(_: float) -> None:
            if not self.inbox.is_empty or self.reporter.is_cancelled:
                raise _Abandoned(CANCELLED)

        with suppress(_Abandoned):
            try:
                for estimate in self.session.accuracy(check):
                    check(0.0)
                    if estimate is not None:
                        self.outbox.answer(None, event="accuracy", **estimate.to_json())
            except _Abandoned:
                raise
            except Exception:  # noqa: BLE001, S110 - too few points, a full disk: the next view says so
                pass  # nosec B110
            self._estimated = version


def _explain(error: Exception) -> str:
    if is_out_of_memory(error):
        return (
            "Memory ran out. The points are kept; ask for a smaller view, or close other programs."
        )
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space" if is_full else "check the folder and its permissions"
        return f"A file could not be written or read ({error.strerror or error}). The points are kept; {advice}, and ask again."
    return f"Something unexpected went wrong ({type(error).__name__}: {error}). The points are kept; report this message."


def _read_folder(body: Mapping[str, Any]) -> Path:
    """Return the model folder of a request, or raise `ProtocolError` where it names none of this machine."""
    text = body.get("folder")
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ProtocolError("The request has no 'folder'. Expected the path of a model folder.")
    if ".." in Path(text).parts or text.startswith(("/vsi", "\\\\")) or "://" in text:
        raise ProtocolError(
            f"The folder '{text[:_SHOWN]}' is not one that a user chooses. Expected the path of a folder of this machine without "
            "'..'; send the absolute path."
        )
    return Path(os.path.expanduser(text))  # noqa: PTH111 - leaves names of unknown users as they are


def _read_list(body: Mapping[str, Any], key: str) -> Sequence[object]:
    value = body.get(key)
    if not isinstance(value, list):
        raise ProtocolError(f"'{key}' is no list. Expected a list of objects.")
    return value


def _read_side(body: Mapping[str, Any], key: str) -> int:
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        raise ProtocolError(
            f"'{key}' is {str(value)[:40]}. Expected a positive whole number of pixels."
        )
    return value
