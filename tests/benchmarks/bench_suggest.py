"""How many points do suggestions save? A simulated expert answers places that are asked for, and maps are scored.

``python tests/benchmarks/bench_suggest.py --seeds 3 --output suggest.json`` compares suggestions with random, entropy and margin sampling
on four sets: the synthetic landscape of the demo, nc_landsat7, swiss_drone and loveda (found beside the checkout or in GEOPOINTSEG_DATA).
Features are computed once per set, at pixels drawn at random. The model is the first one of ``train``: logistic regression on frozen features,
and on nc_landsat7, whose pixels are coarse, a forest on filters. Suggestions come from `rank_candidates`, as those of ``suggest``.

``--shipped`` runs `train` and `suggest` on the scenes themselves instead, for suggested and random points. It takes minutes for every fit.

All arms start from the same five random points of each class. Scores are mean F1 on the whole ground that is asked about (``own``) and, where there
is any, on ground that is not (``other``: another landscape, the other scene of swiss_drone, the bottom halves of loveda). The result is the number of
points, the first ones included, that reach the score of N random points beside the first ones, as a share of these. Curves are means over the seeds, made monotone
by isotonic regression. A score that is not reached gives null.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score

from geopointseg.config import Config
from geopointseg.lab.dense_mask import read_dense_mask
from geopointseg.labels.points import Points
from geopointseg.labels.sparse_mask import UNLABELLED, SparseMask
from geopointseg.landscape import make_landscape, write_scene
from geopointseg.learning.training import train
from geopointseg.legend import Legend
from geopointseg.model.bundle import ModelBundle
from geopointseg.model.forest_fitting import PREVALENCE_POWER
from geopointseg.model.linear import LabelledFeatures, LinearBody, compute_features, fit_logistic
from geopointseg.prediction.predictor import predict_array
from geopointseg.raster.class_map import ClassMap
from geopointseg.raster.geodesy import Positions
from geopointseg.raster.scene import Scene
from geopointseg.validation.candidate_ranking import Candidates, LabelledPlaces, rank_candidates
from geopointseg.validation.place_features import PlaceFeatures
from geopointseg.validation.suggestion import suggest

Array = NDArray[np.float32]
Classes = NDArray[np.int64]

SETS = {"demo": "linear", "nc_landsat7": "forest", "swiss_drone": "linear", "loveda": "linear"}
"""Sets, and the kind of model on each."""
FEWEST_PIXELS = 500
FIRST = 5
ROUND = 20
ROUNDS = 10
RANDOM = (20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800)
AT = (100, 200, 300, 400)
ASKED, SCORED, CANDIDATES = 40_000, 15_000, 12_000
APART_PX = 4.0
TREES = 40


@dataclass
class Ground:
    """Scenes with the classes of their pixels, -1 where unknown: those that are asked about, and others."""

    legend: Legend
    own: list[tuple[Path, Classes]]
    other: list[tuple[Path, Classes]]


def open_ground(name: str, folder: Path) -> Ground:
    """Return the ground of a set; classes with few pixels are left out."""
    default = Path(__file__).parents[3] / "shared" / "data"
    data = Path(os.environ.get("GEOPOINTSEG_DATA", default)) / name
    legend, own, other = {
        "demo": _demo, "nc_landsat7": _landsat, "swiss_drone": _swiss, "loveda": _loveda,
    }[name](folder if name == "demo" else data, folder)  # fmt: skip
    counts = sum(np.bincount(t[t >= 0], minlength=len(legend)) for _, t in own)
    kept = np.flatnonzero(counts >= FEWEST_PIXELS)
    table = np.full(len(legend) + 1, -1)
    table[kept] = np.arange(len(kept))
    parts = ([(p, table[t]) for p, t in places] for places in (own, other))
    return Ground(Legend(tuple(legend.entries[k] for k in kept)), *parts)


def _demo(_: Path, folder: Path) -> tuple[Legend, list, list]:
    places = []
    for seed in (5, 6):
        landscape = make_landscape(480, 640, seed=seed)
        write_scene(landscape, str(folder / f"scene_{seed}.tif"))
        truth = np.where(landscape.valid, landscape.truth.astype(np.int64), -1)
        places.append((folder / f"scene_{seed}.tif", truth))
    return landscape.legend, places[:1], places[1:]


def _landsat(data: Path, _: Path) -> tuple[Legend, list, list]:
    path = data / "nc_landsat7_5band.tif"
    reference = ClassMap.open(data / "nc_landclass96_reference.tif")
    truth = np.where(Scene.open(path).read().valid, reference.read()[0].astype(np.int64), -1)
    return reference.legend, [(path, truth)], []


def _swiss(data: Path, _: Path) -> tuple[Legend, list, list]:
    places = []
    for number in (8733, 8744):
        path = data / f"scene_{number}.tif"
        grid = Scene.open(path).grid
        mask = read_dense_mask(data / f"mask_{number}.png", palette="swiss_drone", grid=grid)
        places.append((path, mask.class_index.astype(np.int64)))
    return mask.legend, places[:1], places[1:]


def _loveda(data: Path, folder: Path) -> tuple[Legend, list, list]:
    sys.path.insert(0, str(Path(__file__).parent / "quality"))
    from ground import read_sets

    [ground] = read_sets(data.parent, folder)["loveda_tb"]
    own, other = ([(p.scene, p.reference) for p in ps] for ps in (ground.training, ground.test))
    return ground.legend, own, other


@dataclass
class Lattice:
    """Features, classes and places of pixels drawn at random.

    Parameters
    ----------
    linear, forest, place
        Features ``(pixel, feature)`` of both kinds of model and of `PlaceFeatures`.
    truth
        Class ``(pixel,)``.
    position
        Scene, row and column ``(pixel, 3)``.
    edge_px
        Distance from the nearest boundary of classes ``(pixel,)``.
    """

    linear: Array
    forest: Array
    place: Array
    truth: Classes
    position: Classes
    edge_px: Array

    @property
    def plane_px(self) -> Array:
        """Places in pixels, those of different scenes far apart, float ``(pixel, 2)``."""
        return self.position[:, 1:] + self.position[:, :1] * [1_000_000, 0]


def compute_lattices(ground: Ground, folder: Path) -> dict[str, Lattice]:
    """Return lattices: ``asked`` and ``own`` of the ground that is asked about, and ``other``."""
    rng = np.random.default_rng(0)
    masks = []
    for path, truth in ground.own:
        some = np.full(truth.shape, UNLABELLED, np.int64)
        for k in range(len(ground.legend)):
            pixels = np.flatnonzero(truth == k)
            some.ravel()[rng.choice(pixels, min(30, len(pixels)), replace=False)] = k
        masks.append(SparseMask.from_array(some, Scene.open(path).grid, ground.legend))
    paths = [path for path, _ in ground.own]
    linear = train(paths, masks, output=folder / "linear", model="linear")
    config = Config().updated({"forest": {"features": "filters", "trees": 10}})
    forest = train(paths, masks, output=folder / "forest", model="forest", config=config)
    wanted = {"asked": (ground.own, ASKED), "own": (ground.own, SCORED), "other": (ground.other, SCORED)}  # fmt: skip
    return {
        name: _lattice(places, count, linear, forest, rng)
        for name, (places, count) in wanted.items()
        if places
    }


def _lattice(
    places: list[tuple[Path, Classes]], count: int, linear: ModelBundle, forest: ModelBundle, rng: np.random.Generator
) -> Lattice:  # fmt: skip
    known = sum(int((t >= 0).sum()) for _, t in places)
    member = linear.members[0]
    [body] = [m for m in member.network.modules() if isinstance(m, LinearBody)]
    parts = []
    for number, (path, truth) in enumerate(places):
        flat = np.flatnonzero(truth >= 0)
        chosen = np.sort(rng.choice(flat, min(len(flat), round(count * len(flat) / known)), replace=False))  # fmt: skip
        row, col = np.divmod(chosen, truth.shape[1])
        chip = Scene.open(path).read()
        normalized = member.normalization.apply(chip.image, chip.valid)
        parts.append((
            compute_features(body, normalized, chip.valid, row, col).astype(np.float16),
            _filters(forest.members[0].forest.extractor, chip, row, col),
            PlaceFeatures(forest, 24).compute(chip.image, chip.valid)[:, row, col].T,
            truth[row, col],
            np.column_stack([np.full(len(row), number), row, col]),
            _edge_distance(truth)[row, col],
        ))  # fmt: skip
    return Lattice(*map(np.concatenate, zip(*parts, strict=True)))


def _filters(extractor, chip, row: Classes, col: Classes) -> Array:
    standardized = extractor.standardize(chip.image, chip.valid)
    values = np.zeros((len(row), extractor.count), np.float32)
    for top, left in np.unique(np.column_stack([row, col]) // 256 * 256, axis=0).tolist():
        own = np.flatnonzero((row // 256 * 256 == top) & (col // 256 * 256 == left))
        spans = (
            slice(start, min(start + 256, n))
            for start, n in zip((top, left), chip.valid.shape, strict=True)
        )
        values[own] = extractor.window(standardized, chip.valid, *spans)[:, row[own] - top, col[own] - left].T  # fmt: skip
    return values


def _edge_distance(truth: Classes) -> Array:
    low, high = ndimage.minimum_filter(truth, 3), ndimage.maximum_filter(truth, 3)
    return ndimage.distance_transform_edt(low == high)


def read_or_compute(name: str, cache: Path) -> dict[str, Lattice]:
    """Return the lattices of a set, kept in a folder."""
    path = cache / f"{name}_lattices.npz"
    fields = Lattice.__dataclass_fields__
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            found = compute_lattices(open_ground(name, Path(folder)), Path(folder))
        np.savez(path, **{f"{n} {f}": getattr(v, f) for n, v in found.items() for f in fields})
    stored = np.load(path)
    names = {key.split()[0] for key in stored.files}
    lattices = {n: Lattice(*(stored[f"{n} {f}"] for f in fields)) for n in sorted(names)}
    for lattice in lattices.values():
        lattice.linear = lattice.linear.astype(np.float32)
    return lattices


@dataclass
class Session:
    """A model and the answers of an expert, who may skip boundaries or err."""

    lattices: dict[str, Lattice]
    kind: str
    seed: int
    skip_px: float = 0.0
    wrong: float = 0.0
    labelled: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.ground = self.lattices["asked"]
        self.classes = int(self.ground.truth.max()) + 1
        self.free = np.ones(len(self.ground.truth), dtype=bool)
        for k in range(self.classes):
            pixels = np.flatnonzero(self.ground.truth == k)
            for place in self.rng.choice(pixels, min(FIRST, len(pixels)), replace=False).tolist():
                self._label(place, k)

    def ask(self, place: int) -> None:
        """Ask the expert about a pixel."""
        self.asked += 1
        self.free[place] = False
        if self.ground.edge_px[place] <= self.skip_px and self.skip_px:
            return
        is_wrong = self.rng.random() < self.wrong
        self._label(place, int(self.rng.integers(self.classes) if is_wrong else self.ground.truth[place]))  # fmt: skip

    def _label(self, place: int, answer: int) -> None:
        self.labelled.append(place)
        self.answers.append(answer)
        gap = np.hypot(*(self.ground.plane_px - self.ground.plane_px[place]).T)
        self.free &= gap >= APART_PX

    def fit(self) -> dict[str, float]:
        """Fit the model, keep its probabilities of the pixels that can be asked, and return its scores."""
        predict = self._fit_linear() if self.kind == "linear" else self._fit_forest()
        self.probabilities = predict(self.ground)
        scores = {}
        for name in self.lattices.keys() - {"asked"}:
            lattice = self.lattices[name]
            known = lattice.truth >= 0
            mapped = predict(lattice).argmax(axis=1)[known]
            truth = lattice.truth[known]
            scores[name] = float(f1_score(truth, mapped, average="macro", labels=np.unique(truth), zero_division=0))  # fmt: skip
        return scores

    def _fit_linear(self) -> Callable[[Lattice], Array]:
        weight = np.ones(len(self.answers), np.float32)
        learnt = LabelledFeatures(self.ground.linear[self.labelled], np.array(self.answers), weight)
        weights, bias = fit_logistic(learnt, self.classes)

        def predict(lattice: Lattice) -> Array:
            logits = lattice.linear @ weights.T.astype(np.float32) + bias.astype(np.float32)
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            return odds / odds.sum(axis=1, keepdims=True)

        return predict

    def _fit_forest(self) -> Callable[[Lattice], Array]:
        """Fit a forest on filters, balanced towards the class shares of its own map as `Forest` is."""
        forest = RandomForestClassifier(TREES, random_state=self.seed)
        forest.fit(self.ground.forest[self.labelled], self.answers)
        present = forest.classes_
        shares = forest.predict_proba(self.lattices["own"].forest).mean(axis=0)
        sampled = np.bincount(self.answers, minlength=self.classes)[present] / len(self.answers)
        factor = (shares / sampled) ** PREVALENCE_POWER

        def predict(lattice: Lattice) -> Array:
            values = np.zeros((len(lattice.truth), self.classes), np.float32)
            values[:, present] = forest.predict_proba(lattice.forest) * factor
            return values / values.sum(axis=1, keepdims=True).clip(1e-9)

        return predict

    def ask_largest(self, usefulness: Array, count: int) -> None:
        """Ask for the free pixels of largest usefulness."""
        for _ in range(count):
            self.ask(int(np.where(self.free, usefulness, -np.inf).argmax()))

    def candidates(self, chosen: Classes) -> Candidates:
        """Return pixels as candidates."""
        place = Positions.in_plane(*self.ground.plane_px[chosen].T)
        probabilities = self.probabilities[chosen].astype(np.float64)
        return Candidates(place, probabilities, np.zeros(len(chosen)), self.ground.place[chosen].astype(np.float64))  # fmt: skip

    def ask_suggested(self, count: int) -> None:
        """Ask for what `rank_candidates` chooses among pixels drawn evenly over predicted classes, as in `suggest`."""
        predicted = self.probabilities.argmax(axis=1)
        present = np.unique(predicted[self.free])
        pools = (np.flatnonzero(self.free & (predicted == k)) for k in present)
        chosen = np.concatenate([self.rng.permutation(pool)[: -(-CANDIDATES // len(present))] for pool in pools])  # fmt: skip
        labelled = LabelledPlaces(
            Positions.in_plane(*self.ground.plane_px[self.labelled].T),
            self.ground.place[self.labelled].astype(np.float64),
            np.bincount(self.answers, minlength=self.classes),
        )
        ranking = rank_candidates(
            self.candidates(chosen), count, APART_PX, labelled=labelled, seed=self.seed
        )
        for place in chosen[ranking.chosen].tolist():
            self.ask(place)


def _everything(session: Session) -> Candidates:
    return session.candidates(np.arange(len(session.ground.truth)))


ARMS: dict[str, Callable[[Session, int], None]] = {
    "random": lambda s, n: s.ask_largest(s.rng.random(len(s.free)), n),
    "entropy": lambda s, n: s.ask_largest(_everything(s).entropy, n),
    "margin": lambda s, n: s.ask_largest(-_everything(s).margin, n),
    "suggested": Session.ask_suggested,
}


def run_arm(arm: str, session: Session) -> list[dict[str, float]]:
    """Return the learning curve of one arm: points that were asked for, all labelled points, and scores."""
    totals = RANDOM if arm == "random" else [ROUND * (i + 1) for i in range(ROUNDS)]
    first = len(session.labelled)
    curve = [{"asked": 0, "first": first, "labelled": first, **session.fit()}]
    for total in totals:
        ARMS[arm](session, total - session.asked)
        curve.append({"asked": session.asked, "first": first, "labelled": len(session.labelled), **session.fit()})  # fmt: skip
    return curve


def run_shipped(
    arm: str, ground: Ground, folder: Path, seed: int, options: argparse.Namespace
) -> list[dict[str, float]]:
    """Return the learning curve of `train` and `suggest` themselves, or of random points."""
    rng = np.random.default_rng(seed)
    scenes = [Scene.open(path) for path, _ in ground.own]
    flat = np.concatenate([truth.ravel() for _, truth in ground.own])
    starts = np.cumsum([0, *(truth.size for _, truth in ground.own)])

    def label(pixels: Classes) -> Points:
        parts = []
        for number, (_, truth) in enumerate(ground.own):
            own = pixels[(pixels >= starts[number]) & (pixels < starts[number + 1])]
            row, col = np.divmod(own - starts[number], truth.shape[1])
            row, col = row[truth[row, col] >= 0], col[truth[row, col] >= 0]
            grid = scenes[number].grid
            x, y = grid.pixel_to_world(row + 0.5, col + 0.5)
            if len(row):
                parts.append(Points.from_arrays(x, y, truth[row, col], ground.legend, grid.crs))
        return Points.concatenate(parts)

    def suggested(model: ModelBundle, points: Points) -> Classes:
        distance = APART_PX * scenes[0].grid.resolution_m
        found = suggest(model, scenes, ROUND, distance, folder / "next.gpkg", points=points, seed=seed)  # fmt: skip
        pixels = []
        for x, y, name in zip(found.x, found.y, found.scene, strict=True):
            number = [scene.name for scene in scenes].index(name)
            row, col = (int(v[0]) for v in scenes[number].grid.world_to_pixel([x], [y]))
            pixels.append(starts[number] + row * scenes[number].grid.width + col)
        return np.array(pixels)

    classes = range(len(ground.legend))
    points = label(np.concatenate([rng.permutation(np.flatnonzero(flat == k))[:FIRST] for k in classes]))  # fmt: skip
    first, curve = len(points), []
    totals = [0, *(options.random if arm == "random" else range(ROUND, ROUND * options.rounds + 1, ROUND))]  # fmt: skip
    model = None
    for before, total in zip([0, *totals], totals, strict=False):
        if total and model is not None:
            known = np.flatnonzero(flat >= 0)
            pixels = rng.choice(known, total - before, replace=False) if arm == "random" else suggested(model, points)  # fmt: skip
            points = Points.concatenate([points, label(pixels)])
        kind = options.model or SETS[options.set]
        model = train(scenes, points, output=folder / f"{arm}{seed}", model=kind, seed=seed, minutes=1)  # fmt: skip
        scores = {"own": _score(model, ground.own, len(ground.legend))}
        if ground.other:
            scores["other"] = _score(model, ground.other, len(ground.legend))
        curve.append({"asked": total, "first": first, "labelled": len(points), **scores})
        sys.stderr.write(json.dumps({"set": options.set, "arm": arm, "seed": seed, **curve[-1]}) + "\n")  # fmt: skip
    return curve


def _score(model: ModelBundle, places: list[tuple[Path, Classes]], classes: int) -> float:
    mapped, known = [], []
    for path, truth in places:
        probabilities, valid = predict_array(model, Scene.open(path))
        chosen = valid & (truth >= 0)
        mapped.append(probabilities.argmax(axis=0)[chosen])
        known.append(truth[chosen])
    truth = np.concatenate(known)
    return float(f1_score(truth, np.concatenate(mapped), average="macro", labels=np.unique(truth), zero_division=0))  # fmt: skip


def average(curves: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    """Return the mean of learning curves."""
    return [{k: float(np.mean([row[k] for row in rows])) for k in rows[0]} for rows in zip(*curves, strict=False)]  # fmt: skip


def points_needed(curve: list[dict[str, float]], score: float, part: str) -> float | None:
    """Return how many points have to be asked for to reach a score; None where it is not reached."""
    asked = np.array([row["asked"] for row in curve])
    smooth = IsotonicRegression().fit_transform(asked, [row[part] for row in curve])
    if smooth[-1] < score:
        return None
    after = int(np.argmax(smooth >= score))
    if after == 0:
        return 0.0
    return float(np.interp(score, smooth[after - 1 : after + 1], asked[after - 1 : after + 1]))


def compare(curves: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, dict[str, float | None]]]:  # fmt: skip
    """Return the share of random points that each arm needs for the same score, by ground and number of random points."""
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    random = curves["random"]
    asked = [row["asked"] for row in random]
    for part in [p for p in ("own", "other") if p in random[0]]:
        smooth = IsotonicRegression().fit_transform(asked, [row[part] for row in random])
        for arm, curve in curves.items():
            shares = {}
            for count in (n for n in AT if n <= asked[-1] and arm != "random"):
                needed = points_needed(curve, float(np.interp(count, asked, smooth)), part)
                first = curve[0]["first"]
                shares[str(count)] = None if needed is None else round((needed + first) / (count + first), 3)  # fmt: skip
            table.setdefault(part, {})[arm] = shares
    return table


def main() -> None:
    """Run the simulation and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--skip-px", type=float, default=0.0, help="expert skips such places near boundaries")  # fmt: skip
    parser.add_argument("--wrong", type=float, default=0.0, help="share of answers drawn at random")
    parser.add_argument("--cache", type=Path, help="folder that keeps the features")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--shipped", action="store_true", help="run train and suggest themselves")
    parser.add_argument("--model", help="kind of model with --shipped; by default that of the set")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of suggestions with --shipped")  # fmt: skip
    parser.add_argument("--random", type=int, nargs="*", default=[50, 100, 200, 300], help="numbers of random points with --shipped")  # fmt: skip
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result = {}
    for name in options.sets:
        options.set, started = name, time.monotonic()
        curves = {}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            ground = open_ground(name, folder) if options.shipped else None
            lattices = {} if ground else read_or_compute(name, options.cache or folder)
            for arm in options.arms:
                runs = []
                for seed in range(options.seeds):
                    if ground:
                        runs.append(run_shipped(arm, ground, folder, seed, options))
                    else:
                        session = Session(lattices, SETS[name], seed, options.skip_px, options.wrong)  # fmt: skip
                        runs.append(run_arm(arm, session))
                curves[arm] = average(runs)
        result[name] = {"curves": curves, "shares": compare(curves) if "random" in curves else {}}
        if options.output:
            options.output.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name}, {time.monotonic() - started:.0f} s")
        for arm, curve in curves.items():
            print(f"  {arm:10}", *(f"{row['asked']:.0f}: {row['own']:.3f}" + (f"/{row['other']:.3f}" if "other" in row else "") for row in curve))  # fmt: skip
        for part, table in result[name]["shares"].items():
            for arm, shares in table.items():
                print(f"  {part:6} {arm:10} {shares}", flush=True)


if __name__ == "__main__":
    main()
