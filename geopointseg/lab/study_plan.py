"""The plan of a factor study: data, factors and their levels, seeds, baselines, and hypotheses stated beforehand.

A study is one TOML file::

    title = "How many points, and where?"
    purpose = "Measure the effect of ten more points per class."
    seeds = [0, 1, 2]
    baselines = ["majority", "pixel forest", "filter forest", "dense"]

    data_root = "imagery"             # relative to this file; GEOPOINTSEG_DATA, where set, replaces it

    [data.town]                       # paths are relative to data_root
    images = ["west.tif"]
    masks = ["west_mask.png"]
    test_images = ["east.tif"]
    test_masks = ["east_mask.png"]
    palette = "swiss_drone"           # only for colour-coded masks

    [data.globe]                      # or a folder; images need no georeference
    folder = "deepglobe"
    dataset = "deepglobe"             # one of those that find_pairs knows; or patterns: images = "img/*.png", masks = "gt/*.png"
    split = "train"                   # a folder or list of that name; split_file = "train.txt" names a list elsewhere
    test_split = "valid"

    [[factors]]
    name = "points.per_class"
    levels = [10, 50, 200]

    [[factors]]
    name = "points.placement"
    levels = ["stratified", "boundary"]

    [[factors]]
    name = "unlabelled pixels"        # a name of your own, where a level sets several things

    [factors.levels.off]
    "teaching.distillation_weight" = 0.0

    [factors.levels.forest]
    "teaching.distillation_weight" = 0.7

    [baseline_levels]                 # optional: levels of the points for the baselines
    "points.placement" = ["stratified"]

    [fixed]                           # any other setting of geopointseg
    "optimization.minutes" = 2.0

    [[hypotheses]]
    text = "Points near boundaries give higher scores than points anywhere."
    factor = "points.placement"
    better = "boundary"
    than = "stratified"
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import reprlib
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopointseg.config import Config
from geopointseg.errors import ConfigError, nearest_names
from geopointseg.input_file import read_toml
from geopointseg.lab.study_data import StudyData, parse_data
from geopointseg.setting import require_number

POINT_FACTORS = {
    "points.per_class": "Points per class.",
    "points.placement": "Placement of the points: uniform, stratified, boundary, interior, instance, clustered.",
    "points.label_noise": "Share of points with a wrong class.",
    "points.position_error_m": "Standard deviation of the position in metres.",
    "points.min_distance_m": "Smallest distance of two points in metres.",
}
"""Factors of the simulated points."""

TITLES = {
    "points.per_class": "points per class",
    "points.min_distance_m": "smallest distance of points (m)",
}
"""Names of some factors in tables and figures."""

RUN_FACTORS = {
    "model": "Kind of model: auto, network, linear or forest.",
    "ensemble": "Number of models, of different seeds, whose probabilities are averaged.",
    "pretraining": "Whether the network starts from self-supervised pretraining on the training images.",
}
"""Factors of the run as a whole."""

ALIASES = {"match": "scene.matching", "tta": "prediction.tta"}
"""Short names of settings: those of their command or option."""

_LARGEST_SEED = 2**32 - 1

DEFAULT_POINTS: dict[str, Any] = {"points.per_class": 50, "points.placement": "stratified"}
"""Default values of the factors of the points."""

BASELINES = ("majority", "pixel forest", "filter forest", "dense")
"""Methods that a study can be compared with."""


@dataclass(frozen=True)
class Factor:
    """A factor: its name and its levels.

    Parameters
    ----------
    name
        A setting; or any name, where each level sets several settings.
    levels
        Values of the setting; or names of levels.
    settings
        Value by setting for each named level; empty for a factor that is a setting.
    """

    name: str
    levels: tuple[Any, ...]
    settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def values(self, level: Any) -> Mapping[str, Any]:
        """Return the values of a level by setting."""
        return self.settings[level] if self.settings else {self.name: level}

    @property
    def title(self) -> str:
        """The name as text, for figures."""
        return title_of(self.name)


def title_of(name: str) -> str:
    """Return the name of a factor as text, without its section."""
    return TITLES.get(name, name.rpartition(".")[2].replace("_", " "))


@dataclass(frozen=True)
class Hypothesis:
    """A hypothesis stated before the runs: one level of a factor scores higher than another, by a margin.

    Parameters
    ----------
    text
        The hypothesis as a sentence.
    factor, better, than
        The two levels, compared in pairs of the same data set, seed and other factors.
    margin
        Smallest difference in percentage points of mean F1.
    """

    text: str
    factor: str
    better: Any
    than: Any
    margin: float = 0.0


@dataclass(frozen=True)
class StudyRun:
    """One training and its assessment.

    Parameters
    ----------
    data
        Name of the data set.
    levels
        Level by factor, or the name of a baseline under ``"baseline"``.
    seed
        Seed of points and training.
    values
        Value by setting: of the levels and of the fixed settings.
    data_print
        Fingerprint of the data set.
    """

    data: str
    levels: Mapping[str, Any]
    seed: int
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    data_print: str = ""

    @property
    def baseline(self) -> str:
        """Name of the baseline; empty for a combination of levels."""
        return str(self.levels.get("baseline", ""))

    @property
    def key(self) -> str:
        """A hash that is equal for runs with the same values, for resuming."""
        done = [self.data, self.data_print, self.baseline, dict(self.values), self.seed]
        text = json.dumps(done, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """Name of the run in progress messages."""
        levels = ", ".join(
            str(v) if k == "baseline" else f"{title_of(k)} {v}" for k, v in self.levels.items()
        )
        return f"{self.data}: {levels} (seed {self.seed})"


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study, fixed before it starts."""

    title: str
    purpose: str
    data: tuple[StudyData, ...]
    factors: tuple[Factor, ...]
    fixed: Mapping[str, Any]
    seeds: tuple[int, ...]
    baselines: tuple[str, ...]
    hypotheses: tuple[Hypothesis, ...]
    baseline_levels: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> StudyPlan:
        """Read and check a study file.

        Raises
        ------
        InputFileError
            If the file or an image or mask that it names is missing, or it is not TOML.
        ConfigError
            If a factor, baseline or key is unknown; the message names the nearest ones.
        """
        path = Path(path)
        document = read_toml(path, "study file", "sections like [data.NAME] and [[factors]]")
        root = os.environ.get("GEOPOINTSEG_DATA") or path.parent / str(
            document.pop("data_root", ".")
        )
        document.pop("data_root", None)
        return _parse(document, Path(root))

    def quick(self) -> StudyPlan:
        """Return a small version: one data set, the centre of its images, two levels, one seed, a few steps."""
        factors = tuple(dataclasses.replace(f, levels=f.levels[:2]) for f in self.factors)
        budget = {"optimization.steps": 12, "optimization.minutes": 0.2, "forest.trees": 30}
        data = self.data[0]
        if (data.part, data.test_part) == ("all", "all"):
            data = dataclasses.replace(data, part="centre", test_part="centre")
        return dataclasses.replace(
            self,
            data=(data,),
            factors=factors,
            seeds=self.seeds[:1],
            fixed={k: v for k, v in self.fixed.items() if k not in budget} | budget,
            baselines=tuple(b for b in self.baselines if b != "dense"),
        )

    def runs(self) -> Iterator[StudyRun]:
        """Yield all runs: baselines first, then every combination of levels, for each data set and seed."""
        named_data = [(data.name, data.fingerprint()) for data in self.data]
        for (data, data_print), seed in itertools.product(named_data, self.seeds):
            for baseline in self.baselines:
                for run in self._baseline_runs(data, baseline, seed):
                    yield dataclasses.replace(run, data_print=data_print)
            for levels in itertools.product(*(f.levels for f in self.factors)):
                named = dict(zip((f.name for f in self.factors), levels, strict=True))
                set_by = [f.values(level) for f, level in zip(self.factors, levels, strict=True)]
                values = DEFAULT_POINTS | _join_settings(self.fixed, *set_by)
                yield StudyRun(data, named, seed, values, data_print)

    def _baseline_runs(self, data: str, baseline: str, seed: int) -> Iterator[StudyRun]:
        """Yield the runs of one baseline: forests at the levels of the points, the others once."""
        values = DEFAULT_POINTS | _join_settings(self.fixed)
        if baseline in ("majority", "dense"):
            kept = {k: v for k, v in values.items() if k not in POINT_FACTORS}
            yield StudyRun(data, {"baseline": baseline}, seed, kept if baseline == "dense" else {})
            return
        factors = [f for f in self.factors if f.name in POINT_FACTORS]
        for levels in itertools.product(*(f.levels for f in factors)):
            named = dict(zip((f.name for f in factors), levels, strict=True))
            if all(level in self.baseline_levels.get(k, (level,)) for k, level in named.items()):
                yield StudyRun(data, {"baseline": baseline} | named, seed, values | named)

    def data_named(self, name: str) -> StudyData:
        """Return one data set."""
        return next(data for data in self.data if data.name == name)


def known_factors() -> list[str]:
    """Return the names of all factors: those of points and runs, and every setting of geopointseg."""
    settings = [
        f"{section.name}.{setting.name}"
        for section in dataclasses.fields(Config)
        for setting in dataclasses.fields(typing.get_type_hints(Config)[section.name])
    ]
    return [*POINT_FACTORS, *RUN_FACTORS, *ALIASES, *settings]


def _join_settings(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the full names of their settings; later parts override earlier ones."""
    return {ALIASES.get(name, name): value for part in parts for name, value in part.items()}


_KEYS = {
    "title", "purpose", "seeds", "baselines", "baseline_levels", "data", "factors", "fixed", "hypotheses",
}  # fmt: skip


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is kind for item in value)


_SHAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "data": (
        "sections [data.NAME]",
        lambda v: isinstance(v, dict) and _is_list_of(dict, list(v.values())),
    ),
    "factors": ("sections [[factors]]", lambda v: _is_list_of(dict, v)),
    "hypotheses": ("sections [[hypotheses]]", lambda v: _is_list_of(dict, v)),
    "fixed": ("a section [fixed]", lambda v: isinstance(v, dict)),
    "baseline_levels": ("a section [baseline_levels]", lambda v: isinstance(v, dict)),
    "baselines": ('a list of names, like ["majority"]', lambda v: _is_list_of(str, v)),
    "seeds": (
        f"at least one whole number of 0 to {_LARGEST_SEED} in a list, each once, like [0, 1, 2]",
        lambda v: (
            bool(v)
            and _is_list_of(int, v)
            and 0 <= min(v) <= max(v) <= _LARGEST_SEED
            and len(set(v)) == len(v)
        ),
    ),
}
"""What stands under each key of a study, for messages, and whether a value is that."""


def _check_shapes(document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if key not in _KEYS:
            raise ConfigError(f"The study has an unknown key '{key}'. {nearest_names(key, _KEYS)}")
        expected, fits = _SHAPES.get(key, ("", lambda _: True))
        if not fits(value):
            raise ConfigError(f"The study's {key} is {reprlib.repr(value)}. Expected {expected}.")


def _parse(document: dict[str, Any], folder: Path) -> StudyPlan:
    _check_shapes(document)
    for key in ("data", "factors"):
        if not document.get(key):
            raise ConfigError(
                f"The study has no {key}. Expected at least one [[{key}]] or [{key}.NAME] section."
            )
    factors = tuple(_parse_factor(row) for row in document["factors"])
    baselines = tuple(document.get("baselines", BASELINES))
    for baseline in baselines:
        if baseline not in BASELINES:
            raise ConfigError(
                f"The baseline '{baseline}' is unknown. {nearest_names(baseline, BASELINES)}"
            )
    fixed = document.get("fixed", {})
    for name, value in fixed.items():
        _check_level(name, value)
    return StudyPlan(
        title=str(document.get("title", "Factor study")),
        purpose=str(document.get("purpose", "")),
        data=tuple(parse_data(name, row, folder) for name, row in document["data"].items()),
        factors=factors,
        fixed=fixed,
        seeds=tuple(int(seed) for seed in document.get("seeds", (0, 1, 2))),
        baselines=baselines,
        hypotheses=tuple(_parse_hypothesis(row, factors) for row in document.get("hypotheses", ())),
        baseline_levels=_parse_baseline_levels(document.get("baseline_levels", {}), factors),
    )


def _parse_factor(row: dict[str, Any]) -> Factor:
    name, levels = str(row.get("name", "")), row.get("levels")
    if isinstance(levels, dict) and levels:
        for level, settings in levels.items():
            if not isinstance(settings, dict):
                raise ConfigError(
                    f"The level '{level}' of the factor '{name}' is {settings!r}. Expected a section "
                    f"[factors.levels.{level}] with settings."
                )
            for setting, value in settings.items():
                _check_level(setting, value)
        return Factor(name, tuple(levels), levels)
    _check_factor(name)
    if not isinstance(levels, list) or not levels:
        raise ConfigError(
            f"The factor '{name}' has the levels {levels!r}. Expected a list like [10, 50]."
        )
    for position, level in enumerate(levels):
        _check_level(name, level)
        if level in levels[:position]:
            raise ConfigError(
                f"The factor '{name}' has the level {level!r} twice. Expected each level once."
            )
    return Factor(name, tuple(levels))


def _parse_baseline_levels(
    row: dict[str, Any], factors: tuple[Factor, ...]
) -> dict[str, tuple[Any, ...]]:
    known = {f.name: f.levels for f in factors if f.name in POINT_FACTORS}
    for name, levels in row.items():
        if name not in known:
            raise ConfigError(
                f"[baseline_levels] names '{name}'. Expected a factor of the points that this study varies: "
                f"{', '.join(known) or 'there is none'}."
            )
        if not isinstance(levels, list) or not set(levels) <= set(known[name]):
            raise ConfigError(
                f"[baseline_levels] gives '{name}' the levels {levels!r}. Expected some of {list(known[name])}."
            )
    return {name: tuple(levels) for name, levels in row.items()}


def _check_factor(name: str) -> None:
    known = known_factors()
    if name not in known:
        raise ConfigError(f"The factor '{name}' is unknown. {nearest_names(name, known)}")


def _check_level(name: str, value: Any) -> None:
    """Raise `ConfigError` unless a factor is known and a value is one that it can have."""
    _check_factor(name)
    section, _, setting = ALIASES.get(name, name).partition(".")
    if name in POINT_FACTORS and name != "points.placement":
        require_number(f"'{name}'", value, minimum=1 if name == "points.per_class" else 0)
    elif name not in POINT_FACTORS | RUN_FACTORS:
        Config().updated({section: {setting: value}})


def _parse_hypothesis(row: dict[str, Any], factors: tuple[Factor, ...]) -> Hypothesis:
    try:
        hypothesis = Hypothesis(**row)
    except TypeError as error:
        raise ConfigError(
            f"A hypothesis is not complete ({error}). Expected text, factor, better, than and, if wanted, margin."
        ) from None
    levels = {f.name: f.levels for f in factors}
    if hypothesis.factor not in levels:
        raise ConfigError(
            f"A hypothesis names the factor '{hypothesis.factor}', which this study does not vary. "
            f"{nearest_names(hypothesis.factor, levels)}"
        )
    for level in (hypothesis.better, hypothesis.than):
        if level not in levels[hypothesis.factor]:
            raise ConfigError(
                f"A hypothesis names the level {level!r} of '{hypothesis.factor}'. "
                f"Expected one of {list(levels[hypothesis.factor])}."
            )
    return hypothesis
