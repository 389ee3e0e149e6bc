"""The picture style of a set of scenes, kept so that others can be given it later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geopointseg.progress import Reporter
from geopointseg.raster.radiometry import MatchMethod, RadiometricTransform, fit_matching
from geopointseg.raster.scene import Scene
from geopointseg.raster.statistics import SceneStatistics, compute_statistics


@dataclass(frozen=True)
class PictureStyle:
    """The distribution of values that scenes are given, and how.

    Training keeps it in the model folder; prediction gives it to every scene that is mapped, so the network sees
    the style that it learned.

    Parameters
    ----------
    method
        One of the methods of `fit_matching`.
    reference
        Statistics of the scenes that have the style.
    """

    method: MatchMethod
    reference: SceneStatistics

    @classmethod
    def of(
        cls,
        scenes: Sequence[Scene],
        method: MatchMethod = "histogram",
        *,
        reporter: Reporter | None = None,
    ) -> PictureStyle:
        """Take the style of scenes, each square metre of ground counting alike."""
        statistics = compute_statistics(list(scenes), weighting="area", reporter=reporter)
        return cls(method, statistics)

    def fit(self, scene: Scene, *, reporter: Reporter | None = None) -> RadiometricTransform:
        """Return the curves that give a scene this style."""
        plain = scene.with_radiometry(None)
        statistics = compute_statistics(plain, reporter=reporter)
        return fit_matching(statistics, self.reference, self.method, reporter=reporter)

    def apply(self, scene: Scene, *, reporter: Reporter | None = None) -> Scene:
        """Return the scene so that it is read in this style.

        Raises
        ------
        RasterError
            If its bands are not those of the style.
        """
        return scene.with_radiometry(self.fit(scene, reporter=reporter))

    def to_json(self) -> dict[str, Any]:
        """Return the style as plain numbers, about a thousand a band."""
        return {"method": self.method, "reference": self.reference.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PictureStyle:
        """Read what `to_json` returned."""
        return cls(data["method"], SceneStatistics.from_json(data["reference"]))
