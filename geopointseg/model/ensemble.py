"""Ensembles of models: the bands of each model, and its weight in the mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geopointseg.bands.band_names import color_of
from geopointseg.errors import ModelError
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.inference import Ensemble, WeightedModel
from geopointseg.model.test_time_augmentation import Augmentation

RELATIVE_WEIGHTS = ((0.75, 1.0), (0.5, 1 / 3), (-np.inf, 1 / 9))
"""A model with at least the first share of the best model's skill gets the second share of its weight."""


def combine_models(
    bundles: Sequence[ModelBundle],
    *,
    augmentation: Augmentation = "none",
    disagreement: bool = False,
) -> Ensemble:
    """Combine models into an ensemble for images with the bands of `union_bands`.

    Parameters
    ----------
    bundles
        One model or several, with the same classes in the same order.
    augmentation
        Test-time augmentation; see `augmented_variants`.
    disagreement
        Whether the mean entropy of the members is also computed, if there are several.

    Returns
    -------
    Ensemble
        The input of `predict_window`, `predict_at` and `predict_patch`.

    Raises
    ------
    ModelError
        If the models' classes differ.
    """
    _require_one_legend(bundles)
    bands = union_bands(bundles)
    models = tuple(
        WeightedModel(bundle.members, bundle.temperature, weight, tuple(map(bands.index, own)))
        for bundle, own, weight in zip(
            bundles, _named_alike(bundles), weigh_models(bundles), strict=True
        )
    )
    several = sum(len(bundle.members) for bundle in bundles) > 1
    return Ensemble(models, augmentation, disagreement and several)


def union_bands(bundles: Sequence[ModelBundle]) -> list[str]:
    """Return the bands of all models, each once, those of the first model first."""
    return list(dict.fromkeys(band for bands in _named_alike(bundles) for band in bands))


def _named_alike(bundles: Sequence[ModelBundle]) -> list[list[str]]:
    """Return the bands of each model; one that is known by its colour has the name that another model knows it by."""
    named = []
    for bundle in bundles:
        others = {band for other in bundles if other is not bundle for band in other.bands}
        names = others - {*bundle.bands}
        named.append(
            [color if (color := color_of(band)) in names else band for band in bundle.bands]
        )
    return named


def weigh_models(bundles: Sequence[ModelBundle]) -> tuple[float, ...]:
    """Return the weight of each model in the mean, by its skill on points that were held out of its training.

    The skill is the class-balanced log loss of equal probabilities minus that of the model. Each model has its own few
    held-out points. So models with nearly the best skill get equal weights, and only clearly worse models get less weight.
    If a model has no held-out scores, all weights are equal.

    Parameters
    ----------
    bundles
        One model or several.

    Returns
    -------
    tuple of float
        One weight per model; they sum to one.

    References
    ----------
    J. Smith and K. F. Wallis, A simple explanation of the forecast combination puzzle, Oxford Bulletin of Economics
    and Statistics 71(3), 2009, doi:10.1111/j.1468-0084.2008.00541.x.
    """
    skills = [_skill(bundle) for bundle in bundles]
    best = max((skill for skill in skills if skill is not None), default=0.0)
    if None in skills or best <= 0:
        return tuple(1.0 / len(bundles) for _ in bundles)
    relative = [
        next(
            weight
            for share, weight in RELATIVE_WEIGHTS
            if skill is not None and skill >= share * best
        )
        for skill in skills
    ]
    return tuple(weight / sum(relative) for weight in relative)


def _skill(bundle: ModelBundle) -> float | None:
    kind = "together" if len(bundle.members) > 1 else bundle.members[0].kind
    row = (bundle.metadata.get("scores") or {}).get(kind, {})
    return float(np.log(len(bundle.legend))) - row["loss"] if "loss" in row else None


def _require_one_legend(bundles: Sequence[ModelBundle]) -> None:
    first = bundles[0].legend
    for bundle in bundles[1:]:
        same = (
            np.array_equal(bundle.legend.codes, first.codes) and bundle.legend.names == first.names
        )
        if not same:
            raise ModelError(
                f"The models '{bundles[0].folder}' and '{bundle.folder}' have different classes "
                f"({', '.join(first.names)} and {', '.join(bundle.legend.names)}). An ensemble needs the same "
                "classes in the same order; train the models from the same points."
            )
