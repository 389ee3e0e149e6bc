"""Which clicks teach most? Strategies of a simulated user on features that are computed once.

``nice python tests/benchmarks/bench_click_strategies.py --seeds 3`` takes some ten seconds of processor time per strategy, because
features are kept at a lattice of pixels and no picture is painted. The user knows the classes of the upper half of a scene; the mean F1 of
the lower half is printed per scene, with its mean over the scenes. No class gets more than 25 clicks, except for ``random 50``.
``looks of true classes`` is a bound, no strategy: it groups the pixels of each true class, which a session does not know.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bench_live import SCENES, TruthScene
from scipy import ndimage
from scipy.special import softmax
from sklearn.cluster import KMeans
from sklearn.metrics import f1_score

from geopointseg.config import SceneConfig
from geopointseg.live.live_fit import choose_features, fit_cells
from geopointseg.live.live_points import LabelledCells
from geopointseg.live.live_scene import open_live_scene
from geopointseg.live.session import LiveSession
from geopointseg.live.window_features import sample_window
from geopointseg.progress import Reporter

PIXELS = 70_000
MOST = 25
START = 3
FEWEST_PIXELS = 200
DRAWN = {"balance": 6, "doubt": 30}
REFIT = 2
"""Clicks per class between two fits."""


class FeatureLattice:
    """Features and true classes at a lattice of pixels; classes are -1 where unknown."""

    def __init__(self, scene: TruthScene) -> None:
        session = LiveSession(open_live_scene([str(scene.path)], SceneConfig(), Reporter()))
        height, width = scene.truth.shape
        step = max(int(np.ceil(np.sqrt(height * width / PIXELS))), 1)
        rows, cols = (np.arange(step // 2, n, step) for n in (height, width))
        self.row, self.col = (v.ravel() for v in np.meshgrid(rows, cols, indexing="ij"))
        self.width, self.sets = len(cols), session.sets
        self.features = np.zeros((len(self.row), session.layout.count), np.float32)
        valid = np.zeros(len(self.row), dtype=bool)
        owner = np.column_stack(session.windows(0).owners(self.row, self.col))
        for i, j in np.unique(owner, axis=0).tolist():
            own = np.flatnonzero((owner == [i, j]).all(axis=1))
            window, found = session.windows(0).window(i, j), session.features(0, i, j)
            r, c = self.row[own] - window.row_off, self.col[own] - window.col_off
            good = found.valid[r, c]
            valid[own] = good
            self.features[own[good]] = sample_window(found, session.layout, r[good], c[good])
        session.close()
        some = self.features[valid].astype(np.float64)
        self.moments = np.stack(
            [np.full(some.shape[1], len(some)), some.sum(axis=0), (some**2).sum(axis=0)]
        )
        truth = scene.truth[self.row, self.col]
        upper = scene.truth[: height // 2]
        known = [k for k in np.unique(upper[upper != 255]) if (upper == k).sum() >= FEWEST_PIXELS]
        self.classes = np.arange(len(known))
        table = np.full(256, -1)
        table[known] = self.classes
        self.truth = np.where(valid, table[truth], -1)
        self.lower = self.row >= height // 2
        self.half = int((~self.lower).sum())
        """Number of pixels of the upper half, which come first."""


class LatticeUser:
    """Clicks on pixels of the upper half."""

    def __init__(self, ground: FeatureLattice, seed: int, most: int = MOST) -> None:
        self.ground, self.most, self.rng = ground, most, np.random.default_rng(seed)
        self.clicks: list[int] = []
        self.truth = ground.truth[: ground.half]

    def click(self, pixel: int) -> bool:
        """Click on a pixel unless it is clicked or its class is full; return whether it counts."""
        index = self.truth[pixel]
        taken = pixel in self.clicks or (self.truth[self.clicks] == index).sum() >= self.most
        if index >= 0 and not taken:
            self.clicks.append(int(pixel))
        return bool(index >= 0 and not taken)

    def map(self) -> tuple[np.ndarray, np.ndarray]:
        """Return class and doubt (0..1) of every pixel of the lattice."""
        ground, chosen = self.ground, np.sort(self.clicks)
        present, index = np.unique(self.truth[chosen], return_inverse=True)
        names = tuple(str(k) for k in present)
        cells = LabelledCells(ground.row[chosen], ground.col[chosen], index, names)
        features = ground.features[chosen]
        sets = ground.sets.scaled(features, ground.moments)
        head = fit_cells(features, cells, choose_features(sets, features, cells))
        logits = ground.features @ head.weight.numpy().T + head.bias.numpy()
        top = np.sort(softmax(logits, axis=1), axis=1)[:, -2:]
        return present[logits.argmax(axis=1)], 1 - (top[:, 1] - top[:, 0])

    def score(self) -> float:
        """Return the mean F1 of the lower half."""
        known = self.ground.lower & (self.ground.truth >= 0)
        return float(f1_score(
            self.ground.truth[known], self.map()[0][known], average="macro", labels=self.ground.classes, zero_division=0
        ))  # fmt: skip

    def random(self, per_class: int) -> None:
        """Click on random pixels of each class."""
        for index in self.ground.classes:
            for pixel in self.rng.permutation(np.flatnonzero(self.truth == index))[:per_class]:
                self.click(pixel)

    def looks(self) -> None:
        """Click on the middle of 25 groups of similar pixels of each class."""
        features = self.ground.features[: self.ground.half][self.truth >= 0]
        mean, spread = features.mean(axis=0), features.std(axis=0)
        scaled = (self.ground.features[: self.ground.half] - mean) / np.where(
            spread > 1e-6, spread, np.inf
        )
        some = scaled[self.rng.permutation(np.flatnonzero(self.truth >= 0))[:1500]]
        planes = scaled @ np.linalg.eigh(some.T @ some)[1][:, -32:]
        for index in self.ground.classes:
            own = self.rng.permutation(np.flatnonzero(self.truth == index))[:3000]
            groups = KMeans(min(self.most, len(own)), n_init=1, max_iter=30, random_state=0).fit(
                planes[own]
            )
            for pixel in own[groups.transform(planes[own]).argmin(axis=0)]:
                self.click(pixel)

    def take_turns(self, *kinds: str) -> None:
        """Click in turns by kind, after three random clicks of each class.

        ``random``, ``wrong`` and ``middle`` choose a pixel of the class with the fewest clicks: any, a wrong one, or the middle of the
        largest wrong area. ``balance`` and ``doubt`` are the questions of a session.
        """
        self.random(START)
        total, failed, turn = len(self.ground.classes), 0, 0
        while len(self.clicks) < self.most * total and failed < 60:
            if turn % (REFIT * total) == 0:
                shown, doubt = (values[: self.ground.half] for values in self.map())
            kind = kinds[turn % len(kinds)]
            turn += 1
            by = shown if kind == "balance" else self.truth
            candidates = (self.truth >= 0) & (
                (kind not in ("wrong", "middle")) | (shown != self.truth)
            )
            candidates[self.clicks] = False
            counts = np.bincount(self.truth[self.clicks], minlength=total)
            is_open = (np.bincount(by[candidates], minlength=total) > 0) & (counts < self.most)
            scarcest = np.where(is_open, counts + self.rng.random(total) / 2, np.inf).argmin()
            if kind != "doubt":
                candidates &= by == scarcest
            places = self.rng.permutation(np.flatnonzero(candidates))[: DRAWN.get(kind, 1)]
            if len(places) and kind == "middle":
                places = [self.middle(candidates)]
            clicked = len(places) > 0 and self.click(
                int(max(places, key=lambda place: doubt[place]))
            )
            failed = 0 if clicked else failed + 1

    def middle(self, candidates: np.ndarray) -> int:
        """Return the middle of the largest connected area of candidates: the pixel farthest from its boundary."""
        area, _ = ndimage.label(candidates.reshape(-1, self.ground.width))
        largest = np.bincount(area[area > 0]).argmax()
        depth = ndimage.distance_transform_edt(np.pad(area == largest, 1))[1:-1, 1:-1]
        return int(depth.argmax())


STRATEGIES: dict[str, Callable[[LatticeUser], None]] = {
    "random 25": lambda user: user.random(MOST),
    "random 50": lambda user: user.random(2 * MOST),
    "wrong": lambda user: user.take_turns("wrong"),
    "middle of wrong areas": lambda user: user.take_turns("middle"),
    "random and wrong": lambda user: user.take_turns("random", "wrong"),
    "random and middle": lambda user: user.take_turns("random", "middle"),
    "questions and wrong": lambda user: user.take_turns("balance", "doubt", "wrong"),
    "looks of true classes": LatticeUser.looks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES))
    parser.add_argument(
        "--strategies", nargs="*", default=list(STRATEGIES), choices=list(STRATEGIES)
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        grounds = [FeatureLattice(SCENES[name](Path(folder))) for name in options.scenes]
    print(f"{'':24}", *(f"{name:>12}" for name in [*options.scenes, "mean"]))
    for strategy in options.strategies:
        means = []
        for ground in grounds:
            scores = []
            for seed in range(options.seeds):
                user = LatticeUser(ground, seed, 2 * MOST if strategy == "random 50" else MOST)
                STRATEGIES[strategy](user)
                scores.append(user.score())
            means.append(np.mean(scores))
        print(f"{strategy:24}", *(f"{mean:12.3f}" for mean in [*means, np.mean(means)]), flush=True)


if __name__ == "__main__":
    main()
