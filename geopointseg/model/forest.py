"""The random forest on filter features: baseline, source of distillation targets, and member of the ensemble.

Where imagery has only colours, it is in reserve.

There are three kinds of forest. ``pixel`` uses the values of single pixels. ``filters`` adds the features of a `FilterBank`.
``context`` tunes three parameters, two of them by spatially blocked cross-validation on the training points:

- whether trees use filters or single pixels only: on small or coarse scenes, filters mainly encode the positions of points;
- the radius of the edge-aware smoothing: large at a resolution of centimetres, none at 30 metres;
- a factor for each class, from the class shares of the forest's own map. Points are often drawn evenly over the classes, so
  rare classes are predicted too often. The factor is the ratio of the shares to the power of 0.4, a partial correction,
  because the estimate is coarse and other scenes have other shares.

Each of these parameters is stored in the model folder. The kind ``context`` has half as many trees as the others: with
smoothing, more trees do not improve the map, and the time of inference is proportional to their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geopointseg.config import ForestConfig
from geopointseg.errors import ModelError, TrainingError
from geopointseg.model.filter_bank import FilterBank
from geopointseg.model.filter_features import FeatureExtractor
from geopointseg.model.forest_fitting import ForestFitter, TrainingPixels
from geopointseg.model.smoothing import GuidedFilter
from geopointseg.model.tree_table import TreeTable

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Forest:
    """A fitted forest, which returns class probabilities for an image.

    Parameters
    ----------
    extractor
        Computes the features of an image.
    trees
        The fitted trees.
    radius_px
        Radius of the edge-aware smoothing of its probabilities, in pixels; 0 for none.
    prevalence
        Factor of each class, float32 ``(class,)``.
    out_of_bag
        Out-of-bag probabilities of the training pixels, float32 ``(pixel, class)``, in their order; NaN for pixels that
        are in the sample of every tree. Not stored.
    notes
        The tuned parameters with the losses of all candidates; plain values.
    """

    extractor: FeatureExtractor
    trees: TreeTable
    radius_px: int
    prevalence: NDArray[np.float32]
    out_of_bag: NDArray[np.float32] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.trees.classes

    @property
    def margin_px(self) -> int:
        """Context that the probabilities of a pixel depend on, in pixels on every side."""
        return self.extractor.bank.margin_px + 2 * self.radius_px

    @classmethod
    def fit(
        cls,
        images: Sequence[tuple[Image, Mask]],
        pixels: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]],
        *,
        classes: int,
        config: ForestConfig | None = None,
        seed: int = 0,
        places: NDArray[np.int64] | None = None,
    ) -> Self:
        """Fit a forest to labelled pixels.

        Parameters
        ----------
        images
            Image float32 ``(band, row, col)`` and bool ``(row, col)``, where it is valid, of each part of the scenes. Parts
            without labelled pixels are used to estimate the class shares.
        pixels
            Rows, columns, class indices and weights of the labelled pixels of each image.
        classes
            Number of classes in the legend; those without pixels are never predicted.
        config
            Kind of features and number of trees.
        seed
            Seed of the random numbers.
        places
            Site, row and column on the ground of the labelled pixels of all images in their order, int64 ``(pixel, 3)``. Pixels that
            lie beside each other on a site are held out together. None takes each image for a site of its own.

        Returns
        -------
        Forest
            With out-of-bag probabilities.

        Raises
        ------
        TrainingError
            If there is no labelled pixel.
        """
        config = config or ForestConfig()
        labelled = [TrainingPixels(*map(np.asarray, p)) for p in pixels]
        if not sum(len(p.row) for p in labelled):
            raise TrainingError(
                "The forest was given no labelled pixel. Expected at least one; put points on the scene."
            )
        extractor = FeatureExtractor.fit(
            images, FilterBank(scales=()) if config.features == "pixel" else FilterBank()
        )
        in_context = config.features == "context"
        fitter = ForestFitter.of(
            images,
            labelled,
            extractor,
            classes=classes,
            trees=config.trees // 2 if in_context else config.trees,
            seed=seed,
            dense=in_context,
            places=places,
        )
        if not in_context:
            trees, out_of_bag = fitter.fit_trees(extractor.count)
            return cls(extractor, trees, 0, np.ones(classes, np.float32), out_of_bag)
        tuned = fitter.tune()
        extractor, trees, out_of_bag = fitter.fit_mixture(tuned.filter_share)
        prevalence = fitter.prevalence(trees)
        notes = tuned.to_json(prevalence)
        return cls(extractor, trees, tuned.radius_px, prevalence, out_of_bag, notes)

    def probabilities(self, image: Image, valid: Mask) -> Probabilities:
        """Return the probability of every class at every pixel.

        Parameters
        ----------
        image
            float32 ``(band, row, col)``, values as in the scene, any size.
        valid
            bool ``(row, col)``.

        Returns
        -------
        NDArray
            float32 ``(class, row, col)``; each pixel sums to one. Where there is no image, all classes have equal
            probabilities.

        Raises
        ------
        ModelError
            If the number of bands differs from the training.
        """
        standardized = self.extractor.standardize(image, valid)
        result = np.empty((self.classes, *valid.shape), np.float32)
        for rows, cols, samples in self.extractor.tiles(standardized, valid):
            block = self.trees.probabilities(samples).T
            result[:, rows, cols] = block.reshape(self.classes, rows.stop - rows.start, -1)
        guide = self.extractor.guide(standardized)
        result = GuidedFilter(guide, valid, self.radius_px).apply(result)
        result *= self.prevalence[:, None, None]
        result[:, ~valid] = 1.0
        result /= np.maximum(result.sum(axis=0), np.float32(1e-12))
        return result

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to store."""
        own = {"prevalence": self.prevalence}
        return {**self.trees.to_arrays(), **own, **self.extractor.to_arrays()}

    def to_json(self) -> dict[str, Any]:
        """Return the plain values to store."""
        return {
            "scales": list(self.extractor.bank.scales),
            "kinds": list(self.extractor.bank.kinds),
            "features": self.trees.features,
            "trees": len(self.trees.weight),
            "smoothing_radius_px": self.radius_px,
            "decisions": dict(self.notes),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any]
    ) -> Self:
        """Build a forest from the results of `to_arrays` and `to_json`.

        Raises
        ------
        ModelError
            If an array or value is missing, or their sizes do not agree.
        """
        try:
            bank = FilterBank(tuple(description["scales"]), tuple(description["kinds"]))
            features, radius = int(description["features"]), int(description["smoothing_radius_px"])
            extractor = FeatureExtractor.from_arrays(bank, arrays)
            prevalence = np.asarray(arrays["prevalence"], np.float32).ravel()
        except KeyError as missing:
            raise ModelError(
                f"The forest of the model lacks {missing}. Expected a model folder as `train` writes it; "
                "copy the whole folder again."
            ) from missing
        trees = TreeTable.from_arrays(arrays, features)
        is_positive = bool(np.isfinite(prevalence).all() and (prevalence > 0).all())
        if extractor.count != features or len(prevalence) != trees.classes:
            raise ModelError(
                f"The forest has trees for {features} features of {trees.classes} classes, and arrays for "
                f"{extractor.count} features and {len(prevalence)} classes. Expected equal numbers; "
                "copy the whole folder again."
            )
        if not is_positive:
            raise ModelError(
                "The factors of the classes in the forest of the model are not all finite and above 0. Expected positive numbers; the "
                "model folder is damaged, copy it again or train the model again."
            )
        notes = dict(description.get("decisions", {}))
        return cls(extractor, trees, radius, prevalence, notes=notes)
