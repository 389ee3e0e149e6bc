"""The random forest on filter features: baseline, teacher of networks, and member of the ensemble.

Three forests in one class. ``pixel`` is what every GIS has: single pixels. ``filters`` adds what surrounds them
(`FilterBank`). ``context`` starts from both and lets the points themselves decide on the rest, by predicting blocks
of ground that were held out:

- whether trees see filters or single pixels: on small or coarse scenes filters mostly learn where points lie;
- how far probabilities are smoothed along the edges of the image: much at centimetres, not at all at 30 metres;
- and, from the forest's own map of the ground, how common each class is. Points are mostly spread evenly over
  classes and ground is not, so rare classes are claimed far too often. Probabilities are multiplied by the ratio to
  the power 0.4: less than half of the correction, because the estimate is coarse and other scenes have other shares.

Each decision is a number in the model folder. In context half of the trees are grown: smoothing does the rest, and
every tree is walked for every pixel of a map.
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
from geopointseg.model.filter_features import View
from geopointseg.model.forest_fitting import Grower, LabelledPixels
from geopointseg.model.smoothing import GuidedFilter
from geopointseg.model.tree_table import TreeTable

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Forest:
    """A fitted forest: from an image to class probabilities.

    Parameters
    ----------
    view
        How it looks at an image.
    trees
        What it has learnt.
    radius_px
        Radius of the edge-aware smoothing of its probabilities; 0 for none.
    prevalence
        Factor of each class, float32 ``(class,)``.
    out_of_bag
        What the trees that did not see a training pixel say of it, float32 ``(pixel, class)``, in the order of the
        pixels that it was fitted to; NaN where every tree saw it. Not stored.
    notes
        How the decisions were made; plain values.
    """

    view: View
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
        """Context that decides a pixel's probabilities, in pixels on every side."""
        return self.view.bank.margin_px + 2 * self.radius_px

    @classmethod
    def fit(
        cls,
        images: Sequence[tuple[Image, Mask]],
        pixels: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]],
        *,
        classes: int,
        config: ForestConfig | None = None,
        seed: int = 0,
    ) -> Self:
        """Grow a forest from labelled pixels.

        Parameters
        ----------
        images
            Image float32 ``(band, row, col)`` and mask bool ``(row, col)`` of each piece of ground; those without
            labelled pixels help to estimate how common each class is.
        pixels
            Rows, columns, class indices and weights of the labelled pixels of each image.
        classes
            Number of classes in the legend; those without pixels are never predicted.
        config
            Kind of features and number of trees.
        seed
            Decides the trees.

        Raises
        ------
        TrainingError
            If there is no labelled pixel.
        """
        config = config or ForestConfig()
        labelled = [LabelledPixels(*map(np.asarray, p)) for p in pixels]
        if not sum(len(p.row) for p in labelled):
            raise TrainingError(
                "The forest was given no labelled pixel. Expected at least one; put points on the scene."
            )
        view = View.of(
            images, FilterBank(scales=()) if config.features == "pixel" else FilterBank()
        )
        in_context = config.features == "context"
        grower = Grower.of(
            images,
            labelled,
            view,
            classes=classes,
            trees=config.trees // 2 if in_context else config.trees,
            seed=seed,
            dense=in_context,
        )
        if not in_context:
            trees, out_of_bag = grower.grow(view.count)
            return cls(view, trees, 0, np.ones(classes, np.float32), out_of_bag)
        decisions = grower.decide()
        view, trees, out_of_bag = grower.grow_mixed(decisions.filter_share)
        prevalence = grower.prevalence(trees)
        return cls(
            view, trees, decisions.radius_px, prevalence, out_of_bag, decisions.to_json(prevalence)
        )

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
            float32 ``(class, row, col)``; each pixel sums to one, also where there is no image (there, classes are
            equally likely).

        Raises
        ------
        ModelError
            If the image has other bands than the forest was fitted to.
        """
        seen = self.view.standardize(image, valid)
        result = np.empty((self.classes, *valid.shape), np.float32)
        for rows, cols, samples in self.view.tiles(seen, valid):
            block = self.trees.probabilities(samples).T
            result[:, rows, cols] = block.reshape(self.classes, rows.stop - rows.start, -1)
        result = GuidedFilter(self.view.guide(seen), valid, self.radius_px).apply(result)
        result *= self.prevalence[:, None, None]
        result[:, ~valid] = 1.0
        result /= np.maximum(result.sum(axis=0), np.float32(1e-12))
        return result

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that must be stored."""
        return {**self.trees.to_arrays(), "prevalence": self.prevalence, **self.view.to_arrays()}

    def to_json(self) -> dict[str, Any]:
        """Return the plain values that must be stored."""
        return {
            "scales": list(self.view.bank.scales),
            "kinds": list(self.view.bank.kinds),
            "features": self.trees.features,
            "trees": len(self.trees.weight),
            "smoothing_radius_px": self.radius_px,
            "decisions": dict(self.notes),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any]
    ) -> Self:
        """Build it from what `to_arrays` and `to_json` returned.

        Raises
        ------
        ModelError
            If something is missing or does not fit together.
        """
        try:
            bank = FilterBank(tuple(description["scales"]), tuple(description["kinds"]))
            features, radius = int(description["features"]), int(description["smoothing_radius_px"])
            view = View(bank, *(np.asarray(arrays[name]) for name in View.ARRAYS))
            prevalence = np.asarray(arrays["prevalence"])
        except KeyError as missing:
            raise ModelError(
                f"The forest's part of the model lacks {missing}. Expected a model folder as 'train' writes it; "
                "copy the whole folder again."
            ) from missing
        trees = TreeTable.from_arrays(arrays, features)
        if view.count != features or len(prevalence) != trees.classes:
            raise ModelError(
                f"The forest has trees for {features} features of {trees.classes} classes, and a view of "
                f"{view.count} features with {len(prevalence)} class shares. Expected equal numbers; "
                "copy the whole folder again."
            )
        return cls(view, trees, radius, prevalence, notes=dict(description.get("decisions", {})))
