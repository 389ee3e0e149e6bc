"""The picture style of a set of scenes: their distribution of values, to which other scenes are matched."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from geopointseg.errors import ConfigError, InputFileError, nearest_names
from geopointseg.progress import Reporter
from geopointseg.radiometry.band_statistics import SceneStatistics, compute_statistics
from geopointseg.radiometry.invariant_pixels import Thumbnail, find_invariant
from geopointseg.radiometry.radiometric_transform import (
    MatchMethod,
    RadiometricTransform,
    fit_matching,
)
from geopointseg.raster.scene import Scene

StyleMethod = Literal["invariant", "mixed", MatchMethod]
STYLE_METHODS: tuple[str, ...] = ("invariant", "mixed", *get_args(MatchMethod))
_BY_UNCHANGED_PIXELS = ("invariant", "mixed")

_ELSEWHERE: MatchMethod = "percentile"
"""Method for scenes of other areas: the one that different class mixes bias least."""
_MOST_NUMBERS = 1 << 18
_MOST_THUMBNAILS = 16


@dataclass(frozen=True, eq=False)
class PictureStyle:
    """A distribution of values, and the method by which scenes are matched to it.

    Training keeps it in the model folder. Prediction matches every scene to it, so the network gets values like those
    of training.

    Parameters
    ----------
    method
        One of the methods of `fit_matching`; or ``invariant``, which fits to unchanged pixels of the area that the
        scene shares with the style's own scenes, and matches 2nd and 98th percentiles where there are none; or
        ``mixed``, which also mixes the bands linearly, for other cameras.
    reference
        Statistics of the scenes that have the style.
    thumbnails
        These scenes in coarse pixels, for ``invariant`` and ``mixed``.
    """

    method: StyleMethod
    reference: SceneStatistics
    thumbnails: tuple[Thumbnail, ...] = ()

    @classmethod
    def of(
        cls,
        scenes: Sequence[Scene],
        method: StyleMethod = "histogram",
        *,
        reporter: Reporter | None = None,
    ) -> PictureStyle:
        """Compute the style of scenes, weighted by area.

        Parameters
        ----------
        scenes
            Scenes with the same bands.
        method
            How other scenes will be given the style.
        reporter
            Gets the progress.

        Returns
        -------
        PictureStyle
            Statistics of the scenes, and thumbnails where the method needs them.

        Raises
        ------
        ConfigError
            If there is no such method.
        """
        if method not in STYLE_METHODS:
            raise ConfigError(
                f"There is no matching method '{method}'. {nearest_names(method, STYLE_METHODS)}"
            )
        statistics = compute_statistics(list(scenes), weighting="area", reporter=reporter)
        thumbnails: list[Thumbnail] = []
        if method in _BY_UNCHANGED_PIXELS:
            shown = scenes[:_MOST_THUMBNAILS]
            most = _MOST_NUMBERS // (len(statistics.bands) * len(shown))
            thumbnails = [Thumbnail.of(scene, most) for scene in shown]
        return cls(method, statistics, tuple(thumbnails))

    def fit(self, scene: Scene, *, reporter: Reporter | None = None) -> RadiometricTransform:
        """Return the curves that match a scene to this style."""
        reporter = reporter or Reporter()
        plain = scene.with_radiometry(None)
        statistics = compute_statistics(plain, reporter=reporter)
        if self.method == "invariant" or self.method == "mixed":  # noqa: PLR1714  narrows the type
            return self._fit_unchanged(plain, statistics, reporter)
        return fit_matching(statistics, self.reference, self.method, reporter=reporter)

    def _fit_unchanged(
        self, scene: Scene, statistics: SceneStatistics, reporter: Reporter
    ) -> RadiometricTransform:
        mixed = self.method == "mixed"
        pair = find_invariant(scene, self.thumbnails, mix_bands=mixed, reporter=reporter)
        if pair is not None:
            return pair.fit(statistics)
        reporter.log(
            f"'{scene.name}' shares too few unchanged pixels with the style's own scenes; its 2nd and 98th percentiles are "
            "matched."
        )
        return fit_matching(statistics, self.reference, _ELSEWHERE, reporter=reporter)

    def apply(self, scene: Scene, *, reporter: Reporter | None = None) -> Scene:
        """Return the scene, matched to this style as it is read.

        Raises
        ------
        RasterError
            If its bands are not those of the style.
        """
        return scene.with_radiometry(self.fit(scene, reporter=reporter))

    def to_json(self) -> dict[str, Any]:
        """Return the style as plain numbers and text, well under a megabyte."""
        return {
            "method": self.method,
            "reference": self.reference.to_json(),
            "ground": [thumbnail.to_json() for thumbnail in self.thumbnails],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PictureStyle:
        """Read what `to_json` returned.

        Raises
        ------
        InputFileError
            If it is damaged.
        """
        try:
            thumbnails = tuple(Thumbnail.from_json(entry) for entry in data.get("ground", []))
            method = cast("StyleMethod", data["method"])
            if method not in STYLE_METHODS:
                raise ValueError(f"there is no method '{method}'")  # noqa: TRY301
            return cls(method, SceneStatistics.from_json(data["reference"]), thumbnails)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            zlib.error,
        ) as error:
            raise InputFileError(
                f"The picture style in a model folder is damaged ({type(error).__name__}: {error}). Expected what training wrote; "
                "copy the folder again."
            ) from error
