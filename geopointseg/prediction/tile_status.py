"""Status of the tiles of a run: which must be computed, which output tiles they complete, and the progress."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from geopointseg.model.inference import Ensemble
from geopointseg.prediction.output_tiles import finish_tile, needed_parts, output_tiles
from geopointseg.prediction.product import Arrays
from geopointseg.prediction.row_cache import cache_decoded_rows
from geopointseg.prediction.tile_files import write_arrays
from geopointseg.prediction.tile_pipeline import Plan, WindowBatch, compute_tiles
from geopointseg.prediction.tiling import Tile
from geopointseg.prediction.work_folder import WorkFolder
from geopointseg.progress import Reporter

LARGEST_MAP = 4096
"""Largest number of tiles for which every progress event includes the map of finished tiles."""


class TileStatus:
    """The tiles that a run must compute, and the output tiles that it can finish.

    Parameters
    ----------
    plan
        The map.
    work
        Its work folder; finished tiles in it are not computed again.

    Attributes
    ----------
    missing
        Tiles that must be computed, row by row.
    ready
        Output tiles that can be finished before any tile is computed, because an earlier run computed their tiles.
    """

    def __init__(self, plan: Plan, work: WorkFolder) -> None:
        self.plan = plan
        self.work = work
        pending = [tile for tile in output_tiles(plan) if not work.has_output_tile(tile)]
        self._parts_of = {tile: needed_parts(plan, tile) for tile in pending}
        self._outputs_of: dict[Tile, set[Tile]] = {}
        for tile, parts in self._parts_of.items():
            for part in parts:
                self._outputs_of.setdefault(part, set()).add(tile)
        self.missing = [part for part in sorted(self._outputs_of) if not work.has_part(part)]
        waiting = set(self.missing)
        self._waiting = {t: waiting.intersection(parts) for t, parts in self._parts_of.items()}
        self.ready = [tile for tile, parts in self._waiting.items() if not parts]

    def part_done(self, part: Tile) -> list[Tile]:
        """Record a computed tile; return the output tiles that it completes."""
        found = []
        for tile in sorted(self._outputs_of.get(part, ())):
            waiting = self._waiting[tile]
            waiting.discard(part)
            if not waiting:
                found.append(tile)
        return found

    def output_done(self, tile: Tile) -> None:
        """Record a finished output tile; remove the computed tiles that no other output tile needs."""
        for part in self._parts_of[tile]:
            users = self._outputs_of[part]
            users.discard(tile)
            if not users:
                self.work.part(part).unlink(missing_ok=True)

    def finish(self, tiles: Iterable[Tile]) -> None:
        """Finish output tiles in this process."""
        for tile in tiles:
            finish_tile(self.plan, self.work, tile)
            self.output_done(tile)

    def run(self, ensemble: Ensemble, progress: TileProgress) -> int:
        """Compute all missing tiles in this process; return the number of undeclared NaN pixels."""
        self.finish(self.ready)

        def take(tile: Tile, arrays: Arrays) -> None:
            write_arrays(self.work.part(tile), arrays)
            self.finish(self.part_done(tile))

        mosaic = cache_decoded_rows(self.plan.mosaic, self.plan.lattice, self.work.path)
        plan = replace(self.plan, mosaic=mosaic)
        return compute_tiles(plan, ensemble, self.missing, take, progress.batch_done)


class TileProgress:
    """Reports the progress of a run: fraction, pixels per second, remaining seconds, and finished tiles.

    Parameters
    ----------
    plan, status
        The map, and the tiles that are missing.
    reporter
        Gets an event after every batch; may raise `Cancelled`.
    """

    def __init__(self, plan: Plan, status: TileStatus, reporter: Reporter) -> None:
        self._plan = plan
        self._reporter = reporter
        self._started = time.monotonic()
        self._queue = list(status.missing)
        missing = set(self._queue)
        self._done = {tile for tile in plan.lattice.tiles if tile not in missing}
        self._total = plan.mosaic.grid.height * plan.mosaic.grid.width
        self._earlier = sum(plan.lattice.pixels(tile) for tile in self._done)
        self._pixels = self._earlier
        self._within = 0
        self._report()

    def batch_done(self, batch: WindowBatch | None) -> None:
        """Record a batch of the current tile, or the end of that tile (None)."""
        if batch is None:
            self.tile_done(self._queue[0])
            return
        rows, cols = self._plan.lattice.rows, self._plan.lattice.cols
        tile = self._queue[0]
        windows = (rows.groups[tile[0]], cols.groups[tile[1]])
        count = (windows[0][1] - windows[0][0]) * (windows[1][1] - windows[1][0])
        self._within += self._plan.lattice.pixels(tile) * len(batch.windows) // count
        self._report()

    def tile_done(self, tile: Tile) -> None:
        """Record a computed tile."""
        self._queue.remove(tile)
        self._done.add(tile)
        self._pixels += self._plan.lattice.pixels(tile)
        self._within = 0
        self._report(tile)

    def _report(self, tile: Tile | None = None) -> None:
        done = self._pixels + self._within
        fraction = min(done / max(self._total, 1), 1.0)
        seconds = time.monotonic() - self._started
        speed = (done - self._earlier) / seconds if seconds > 0.5 else 0.0
        facts: dict[str, Any] = {"pixels": done, "pixels_per_s": round(speed)}
        message = ""
        if speed > 0:
            facts["remaining_s"] = round((self._total - done) / speed, 1)
            message = f"{speed / 1e6:.2f} Mpx/s"
        if tile is not None:
            facts |= {"tile": list(tile), "tiles": list(self._plan.lattice.shape)}
            if len(self._plan.lattice.tiles) <= LARGEST_MAP:
                facts["tile_map"] = self.tile_map()
        self._reporter.progress("predict", fraction, message, **facts)

    def tile_map(self) -> list[str]:
        """Return one string per row of tiles, with ``#`` for a finished tile and ``.`` for another."""
        rows, cols = self._plan.lattice.shape
        return [
            "".join("#" if (row, col) in self._done else "." for col in range(cols))
            for row in range(rows)
        ]
