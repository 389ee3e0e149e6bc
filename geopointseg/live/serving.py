"""The process of a live session.

Three threads: one reads lines into the inbox, one writes the lines of the outbox, and the main thread works. Only the one that writes
waits for the client.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geopointseg.config import Config
from geopointseg.errors import Cancelled
from geopointseg.labels.placement import select_training
from geopointseg.labels.points import Points, read_points
from geopointseg.live.live_scene import open_live_scene
from geopointseg.live.mailbox import Inbox, Outbox
from geopointseg.live.memory import LEAST_CACHE, MEMORY_BYTES, resident_bytes, share_arenas
from geopointseg.live.message import PROTOCOL
from geopointseg.live.picture_files import PictureFiles
from geopointseg.live.session import LiveSession
from geopointseg.live.streams import (
    end_with_parent,
    private_output,
    read_requests,
    run_thread,
    send_all,
)
from geopointseg.live.worker import Worker
from geopointseg.progress import Reporter

_WORKING_BYTES = 350_000_000
_MOST_CACHE = 300_000_000
_GOODBYE_S = 2.0


def open_session(
    rasters: Sequence[str],
    config: Config,
    *,
    points: Points | None = None,
    classes: Sequence[str] = (),
    folder: Path | None = None,
    reporter: Reporter | None = None,
) -> tuple[LiveSession, list[dict[str, Any]]]:
    """Open a live session in this process.

    Parameters
    ----------
    rasters
        One raster or several, which become one mosaic on the pixels of the first.
    config
        Settings of the imagery.
    points
        First points, in any CRS; those of a split for validation or test are left out.
    classes
        Names of further classes.
    folder
        Where features are kept that memory does not hold; None for nowhere.
    reporter
        Receives messages.

    Returns
    -------
    session
        The session.
    problems
        ``{"point", "error"}`` of each point that is not used.

    Raises
    ------
    InputFileError, RasterError
        If a raster cannot be used.
    LegendError
        If the classes are malformed.
    """
    scene = open_live_scene(list(rasters), config.scene, reporter or Reporter())
    session = LiveSession(scene, _cache_bytes(), folder)
    problems: list[dict[str, Any]] = []
    if points is not None:
        session.points.set_legend(points.legend.to_json())
        problems = session.points.replace_all(_places(points, session))
    known = session.points.legend
    added = [{"name": name} for name in classes if name not in known.names]
    if added:
        session.points.set_legend([*known.to_json(), *added])
    return session, problems


def serve(
    rasters: Sequence[str],
    config: Config,
    *,
    points: str | None = None,
    class_field: str | None = None,
    layer: str | None = None,
    classes: Sequence[str] = (),
    reporter: Reporter,
) -> None:
    """Speak the protocol on stdin and stdout until the client quits, closes its end, or dies.

    Parameters
    ----------
    rasters, config
        As in `open_session`.
    points, class_field, layer
        Vector file with the first points, as in `read_points`; it is only read.
    classes, reporter
        As in `open_session`.

    Raises
    ------
    GeopointsegError
        If the session cannot start.
    """
    from geopointseg import __version__

    share_arenas()
    run_thread("imports", _import_early)
    with private_output() as answers:
        files = PictureFiles.open_folder()
        run_thread("parent", end_with_parent, files.close)
        session: LiveSession | None = None
        try:
            given = None
            if points is not None:
                given = read_points(points, class_field=class_field, layer=layer)
            session, problems = open_session(
                rasters,
                config,
                points=given,
                classes=classes,
                folder=files.folder,
                reporter=reporter,
            )
            outbox = Outbox(lambda content: send_all(answers, content), reporter.worded)
            content = _describe_start(session, files, __version__) | {"problems": problems}
            outbox.answer(None, **content)
            _work(Worker(session, _inbox(outbox), outbox, files, reporter, config))
            if reporter.is_cancelled:
                raise Cancelled("Cancelled; the live session has ended.")
        finally:
            if session is not None:
                session.close()
            files.close()


def _work(worker: Worker) -> None:
    run_thread("writer", worker.outbox.run)
    run_thread("reader", read_requests, sys.stdin.fileno(), worker.inbox, worker.outbox)
    try:
        worker.run()
    finally:
        worker.inbox.close()
        worker.outbox.drain(_GOODBYE_S)


def _inbox(outbox: Outbox) -> Inbox:
    return Inbox(
        lambda request, why: outbox.answer(request.identifier, ok=False, cancelled=True, error=why)
    )


def _places(points: Points, session: LiveSession) -> list[dict[str, Any]]:
    """Return points as in the protocol."""
    moved = select_training(points.select(points.weight > 0)).to_crs(session.scene.grid.crs)
    names = moved.legend.names
    rows = zip(moved.x.tolist(), moved.y.tolist(), moved.class_index.tolist(), strict=True)
    return [
        {"point": number, "x": x, "y": y, "class": names[k]}
        for number, (x, y, k) in enumerate(rows, 1)
    ]


def _import_early() -> None:
    """Import what the first fit needs, while the imagery is opened."""
    import sklearn.linear_model  # noqa: F401


def _cache_bytes() -> int:
    """Return the memory for features, so that the process stays within its limit."""
    room = MEMORY_BYTES - resident_bytes() - _WORKING_BYTES
    return min(max(room, LEAST_CACHE), _MOST_CACHE)


def _describe_start(session: LiveSession, files: PictureFiles, version: str) -> dict[str, Any]:
    """Return the first line of the protocol."""
    grid, scenes = session.scene.grid, session.scene.mosaic.scenes
    return {
        "ready": True,
        "protocol": PROTOCOL,
        "version": version,
        "pid": os.getpid(),
        "crs": grid.crs.to_wkt(),
        "bounds": list(grid.bounds),
        "width": grid.width,
        "height": grid.height,
        "resolution_m": grid.resolution_m,
        "rasters": [scene.name for scene in scenes],
        "bands": scenes[0].band_names,
        **session.describe(),
        "folder": str(files.folder),
    }
