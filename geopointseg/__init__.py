"""Land-cover maps from a few clicked points.

The public API. Names are imported at their first use, so that ``import geopointseg`` is fast::

    import geopointseg as gps

    points = gps.read_points("survey.gpkg", class_field="cover")
    print(gps.check_points(points, ["scene.tif"]))
    model = gps.train(["scene.tif"], points, output="model/")
    gps.predict(model, "scene.tif", "map.tif", uncertainty="entropy.tif")
    report = gps.assess("map.tif", gps.read_points("test.gpkg"))
    print(report.overall_accuracy, report.class_areas)

Importing does not change the process. `geopointseg.process` documents what calls change, and how to switch that off.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from geopointseg.assessment.accuracy import Assessment, assess
    from geopointseg.config import Config
    from geopointseg.errors import GeopointsegError
    from geopointseg.labels.block_split import split_points
    from geopointseg.labels.point_check import check_points
    from geopointseg.labels.points import Points, read_points, write_points
    from geopointseg.labels.sparse_mask import SparseMask, rasterize_points
    from geopointseg.landscape import make_landscape
    from geopointseg.learning.training import train
    from geopointseg.legend import Legend
    from geopointseg.model.bundle import ModelBundle
    from geopointseg.prediction.predictor import predict
    from geopointseg.progress import Reporter
    from geopointseg.raster.scene import Scene

_HOME = {
    "Assessment": "assessment.accuracy",
    "Config": "config",
    "GeopointsegError": "errors",
    "Legend": "legend",
    "ModelBundle": "model.bundle",
    "Points": "labels.points",
    "Reporter": "progress",
    "Scene": "raster.scene",
    "SparseMask": "labels.sparse_mask",
    "assess": "assessment.accuracy",
    "check_points": "labels.point_check",
    "make_landscape": "landscape",
    "predict": "prediction.predictor",
    "rasterize_points": "labels.sparse_mask",
    "read_points": "labels.points",
    "split_points": "labels.block_split",
    "train": "learning.training",
    "write_points": "labels.points",
}

__all__ = [
    "Assessment",
    "Config",
    "GeopointsegError",
    "Legend",
    "ModelBundle",
    "Points",
    "Reporter",
    "Scene",
    "SparseMask",
    "__version__",
    "assess",
    "check_points",
    "make_landscape",
    "predict",
    "rasterize_points",
    "read_points",
    "split_points",
    "train",
    "write_points",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'geopointseg' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"geopointseg.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
