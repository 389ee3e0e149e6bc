"""The input of a map: scenes as one mosaic, and the area of interest."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window

from geopointseg.errors import GeopointsegError, InputFileError, PointsError, RasterError
from geopointseg.progress import Reporter
from geopointseg.raster.grid import Bounds, Grid, clip_window, crs_name
from geopointseg.raster.polygon import move_shapes, nearest_shape
from geopointseg.raster.publishing import raster_files
from geopointseg.raster.scene import Chip, Scene
from geopointseg.raster.warp import warped
from geopointseg.summary import described
from geopointseg.vector_source import openable


@dataclass(frozen=True)
class Mosaic:
    """Several scenes on one grid; where they overlap, the first valid one is used. `Mosaic.of` builds it.

    Parameters
    ----------
    scenes
        The scenes, all with the same bands.
    grid
        The smallest grid that contains all scenes; for one scene its own.
    """

    scenes: tuple[Scene, ...]
    grid: Grid

    @classmethod
    def of(cls, scenes: Sequence[Scene], reporter: Reporter | None = None) -> Mosaic:
        """Join scenes on the grid of the first one; other scenes are resampled while they are read.

        Raises
        ------
        RasterError
            If their numbers of bands differ.
        """
        first = scenes[0]
        placed = [_on_pixels_of(first, scene, reporter or Reporter()) for scene in scenes]
        return cls(tuple(placed), _union([scene.grid for scene in placed]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.shape

    def read(self, window: Window) -> Chip:
        """Read a window, which may reach beyond the border of the mosaic."""
        if len(self.scenes) == 1:
            return self.scenes[0].read(window)
        shape = int(window.height), int(window.width)
        image = np.zeros((len(self.scenes[0].bands), *shape), dtype=np.float32)
        valid = np.zeros(shape, dtype=bool)
        undeclared = 0
        for scene in self.scenes:
            row, col = self.grid.offset_of(scene.grid)
            own = Window(window.col_off - col, window.row_off - row, window.width, window.height)
            inside = clip_window(own, scene.grid.shape)
            if not (inside.width and inside.height):
                continue
            chip = scene.read(own)
            new = chip.valid & ~valid
            np.copyto(image, chip.image, where=new)
            valid |= new
            undeclared += chip.undeclared_nan
        return Chip(image, valid, undeclared)

    def files(self) -> set[Path]:
        """Return the local files that are read, also those of virtual rasters."""
        return raster_files(scene.path for scene in self.scenes)

    def fingerprint(self) -> str:
        """Return a string that changes when the file or the bands of a scene change."""
        return repr([scene.fingerprint() or scene.path for scene in self.scenes])


def _on_pixels_of(first: Scene, scene: Scene, reporter: Reporter) -> Scene:
    if len(first.bands) != len(scene.bands):
        raise RasterError(
            f"'{first.name}' has {len(first.bands)} bands and '{scene.name}' {len(scene.bands)}. "
            "A mosaic needs the same bands in all rasters; choose the same bands of both."
        )
    if first.grid.matches(scene.grid):
        return scene
    told = (
        f"'{scene.name}' ({_grid_text(scene.grid)}) is resampled to the pixels of '{first.name}' "
        f"({_grid_text(first.grid)}) as it is read"
    )
    grid = _grid_around(first.grid, scene.grid)
    if scene.embedding is None:
        reporter.log(f"{told}.")
        return warped(scene, grid)
    reporter.log(
        f"{told}, by nearest neighbour, because means of vectors are no vectors of the product."
    )
    return warped(scene, grid, "nearest")


def _grid_around(pixels: Grid, other: Grid) -> Grid:
    """Return the smallest grid, on the pixels of one grid, that covers another one."""
    west, south, east, north = other.bounds_in(pixels.crs)
    row, col = pixels.world_to_pixel([west, east, west, east], [south, south, north, north])
    top, left = math.floor(row.min()), math.floor(col.min())
    bottom, right = math.ceil(row.max()), math.ceil(col.max())
    return pixels.crop(Window(left, top, right - left, bottom - top))


def _grid_text(grid: Grid) -> str:
    across, down = grid.resolution
    return f"{crs_name(grid.crs)}, pixels of {across:g} x {down:g}"


def _union(grids: Sequence[Grid]) -> Grid:
    first = grids[0]
    if len(grids) == 1:
        return first
    corners = [(*first.offset_of(grid), grid) for grid in grids]
    top = min(row for row, _, _ in corners)
    left = min(col for _, col, _ in corners)
    bottom = max(row + grid.height for row, _, grid in corners)
    right = max(col + grid.width for _, col, grid in corners)
    return first.crop(Window(left, top, right - left, bottom - top))


@described
@dataclass(frozen=True)
class AreaOfInterest:
    """Polygons outside of which nothing is mapped.

    Parameters
    ----------
    source
        Path of the layer, for messages.
    polygons
        Polygons as well-known binary (WKB), in the CRS of the map.
    """

    source: str
    polygons: tuple[bytes, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str], grid: Grid) -> AreaOfInterest:
        """Read polygons and transform them to the CRS of a grid, with densified edges.

        Where x is cyclic (longitude), polygons are shifted by whole turns to the position nearest to the grid.

        Raises
        ------
        InputFileError
            If the layer cannot be read, or several layers hold polygons.
        PointsError
            If it has no CRS or no polygons.
        """
        import geopandas

        source = os.fspath(path)
        try:
            with openable(source) as name:
                frame = geopandas.read_file(name, layer=_polygon_layer(name, source))
        except GeopointsegError:
            raise
        except Exception as error:
            raise InputFileError(
                f"The area of interest '{source}' cannot be read ({error}). Expected a vector layer with polygons, "
                "such as a GeoPackage; check the path."
            ) from error
        shapes: list[Any] = list(frame.geometry) if "geometry" in frame else []
        polygons = [g for g in map(_polygonal, shapes) if g.area > 0]
        if not polygons or frame.crs is None:
            lack = "no polygons" if not polygons else "no CRS"
            raise PointsError(
                f"The area of interest '{source}' has {lack}. Expected polygons with a coordinate reference system; "
                "choose another layer or assign its CRS in QGIS."
            )
        shapes_there = np.array(polygons, dtype=object)
        source_crs = CRS.from_user_input(frame.crs)
        if source_crs != grid.crs:
            shapes_there = move_shapes(shapes_there, source_crs, grid.crs)
        moved = [nearest_shape(shape, grid) for shape in shapes_there]
        return cls(source, tuple(shapely.to_wkb(moved).tolist()))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(shapely.from_wkb(list(self.polygons)))

    def mask(self, grid: Grid) -> NDArray[np.bool_]:
        """Return bool ``(row, col)``: True where the centre of a pixel lies inside a polygon."""
        from rasterio.features import rasterize

        near = self._tree.geometries[self._tree.query(shapely.box(*grid.bounds))]
        if not len(near):
            return np.zeros(grid.shape, dtype=bool)
        burnt: NDArray[Any] = rasterize(
            [(g, 1) for g in near],
            out_shape=grid.shape,
            transform=grid.transform,
            fill=0,
            dtype="uint8",
        )
        return burnt.astype(bool)

    @property
    def bounds(self) -> Bounds:
        """The smallest box around the polygons."""
        west, south, east, north = shapely.total_bounds(self._tree.geometries).tolist()
        return west, south, east, north

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "polygons": self.polygons}

    def fingerprint(self) -> str:
        """Return a digest of the polygons."""
        return hashlib.sha256(b"".join(self.polygons)).hexdigest()


def _polygonal(shape: Any) -> Any:
    """Return the polygons of a shape; one whose edges cross, whose area may cancel to zero, is split at the crossings."""
    if shape is None or shape.is_valid:
        return shapely.Polygon() if shape is None else shape
    parts = shapely.get_parts(shapely.make_valid(shape))
    return shapely.MultiPolygon(
        [p for part in parts for p in shapely.get_parts(part) if p.geom_type == "Polygon"]
    )


def _polygon_layer(name: str, source: str) -> int | None:
    """Return the position of the only layer that can contain polygons; None where there is none.

    Raises
    ------
    InputFileError
        If there are several.
    """
    import pyogrio

    found = {
        str(layer): position
        for position, (layer, kind) in enumerate(pyogrio.list_layers(name))
        if kind and ("Polygon" in kind or kind.startswith(("Unknown", "GeometryCollection")))
    }
    if len(found) > 1:
        raise InputFileError(
            f"The area of interest '{source}' has {len(found)} layers with polygons ({', '.join(found)}). Expected one; "
            "save the layer to use as a file of its own."
        )
    return next(iter(found.values()), None)
