"""How good the recipe is: against the forests, against the network on points alone, and part by part.

    python tests/benchmarks/quality/run.py -o DIR [--sets swiss_01 loveda_tb ...] [--points 5 10 50 200]
        [--seeds 0 1 2] [--recipes bars|parts|speed|NAME ...] [--minutes M | --steps N]

Each run is written as one JSON file when it is done, so a stopped benchmark goes on where it was; the tables are made
from whatever files lie in DIR (``--tables`` only prints them). Data come from GEOPOINTSEG_DATA or ../shared/data
beside the checkout.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from boundary import boundary_f1
from ground import Ground, read_sets
from recipe import BARS, PARTS, RECIPES, SPEED, Recipe
from table import print_tables, say

REPOSITORY = Path(__file__).parents[3]
Votes = dict[Path, dict[str, Any]]
"""Probabilities float32 ``(class, row, col)`` by test scene, then by member."""


@dataclass(frozen=True)
class Run:
    """One model: where, from how many points a class, with which seed and recipe."""

    ground: Ground
    points: int
    seed: int
    recipe: str
    minutes: float | None = None

    @property
    def file(self) -> str:
        """Name of its result."""
        words = "".join(c if c.isalnum() else "_" for c in self.recipe)
        time = f"_{self.minutes:g}_min" if self.minutes else ""
        return f"{self.ground.name}-{self.points}-{self.seed}-{words}{time}.json"


def main() -> None:
    """Do the runs that are missing, then print the tables."""
    arguments = parse()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    if not arguments.tables:
        data = Path(os.environ.get("GEOPOINTSEG_DATA", REPOSITORY.parent / "shared" / "data"))
        if not data.is_dir():
            sys.exit(f"There are no data in {data}. Set GEOPOINTSEG_DATA to their folder.")
        sets = read_sets(data, output / "scenes")
        missing = [r for r in planned(arguments, sets) if not (output / r.file).exists()]
        if arguments.jobs == 1:
            for run in missing:
                do(run, arguments)
        else:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(arguments.jobs, context, begin, (arguments.jobs,)) as pool:
                for done in [pool.submit(do, run, arguments) for run in missing]:
                    done.result()
    print_tables(output)


def begin(jobs: int) -> None:
    """Share the processor's cores among parallel runs."""
    import torch

    torch.set_num_threads(max(len(os.sched_getaffinity(0)) // jobs, 1))


def do(run: Run, arguments: argparse.Namespace) -> None:
    """Do one run and write its result; a failed run is told, and does not end the others."""
    output = Path(arguments.output)
    try:
        result = execute(run, output / f"model-{os.getpid()}", arguments)
    except Exception:  # noqa: BLE001 - the benchmark goes on
        say(f"{run.file}: {traceback.format_exc()}")
        return
    (output / run.file).write_text(json.dumps(result), encoding="utf-8")
    together = score_seeds_together(run, arguments)
    if together is not None:
        name = run.file.replace(f"-{run.seed}-", "-all-", 1)
        (output / name).write_text(json.dumps(together), encoding="utf-8")
    scores = {k: round(v["mean_f1"], 3) for k, v in result["scores"].items()}
    edges = round(boundary_f1(np.array(result["scores"]["all"]["boundaries"])), 1)
    say(f"{run.file} {scores} edges {edges} {result['training_s']:.0f} s")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--sets", nargs="*", default=[])
    parser.add_argument("--points", nargs="*", type=int, default=[5, 10, 50, 200])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="*", default=["bars"])
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument(
        "--point-seed", type=int, default=0, help="points are fixed; -1 draws them by seed"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side; not for speed")
    parser.add_argument("--tables", action="store_true")
    return parser.parse_args()


def planned(arguments: argparse.Namespace, sets: dict[str, list[Ground]]) -> Iterator[Run]:
    """List the runs that were asked for and make sense."""
    named = {"bars": list(BARS), "parts": list(PARTS), "speed": list(SPEED)}
    recipes = dict.fromkeys(itertools.chain(*(named.get(r, [r]) for r in arguments.recipes)))
    for unknown in [r for r in recipes if r not in RECIPES]:
        sys.exit(f"There is no recipe '{unknown}'. Known: {', '.join(RECIPES)}.")
    for name in arguments.sets or sets:
        for points, seed, recipe in itertools.product(arguments.points, arguments.seeds, recipes):
            for ground in sets[name]:
                most = max(
                    int((p.reference == c).sum())
                    for p in ground.training
                    for c in range(len(ground.legend))
                )
                wanted = points if ground.is_dense or most > points else 0
                if RECIPES[recipe].is_dense and not ground.is_dense:
                    continue
                yield Run(ground, wanted, seed, recipe, arguments.minutes)


def execute(run: Run, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, map the test ground with every member and with all of them, and score."""
    from geopointseg.config import Config
    from geopointseg.learning.pretraining import pretrain
    from geopointseg.learning.training import train
    from geopointseg.progress import NullSink, Reporter

    recipe = RECIPES[run.recipe]
    config = Config().updated({s: dict(values) for s, values in recipe.changes.items()})
    scenes = [place.scene for place in run.ground.training]
    lasts = budget(recipe, config, arguments)
    started = time.perf_counter()
    if recipe.is_pretrained:
        start = folder.with_name(f"{folder.name}-start")
        before = config.updated({"optimization": lasts})
        pretrain(scenes, output=start, config=before, seed=run.seed, device=arguments.device)
        lasts["weights"] = str(start)
    model = train(
        scenes,
        run.ground.masks(0 if recipe.is_dense else run.points, draw_of(run, arguments)),
        output=folder,
        config=config,
        seed=run.seed,
        model=recipe.model,
        unlabelled=[p.scene for p in run.ground.test] if recipe.sees_test_scenes else [],
        device=arguments.device,
        reporter=Reporter(NullSink()),
        **lasts,
    )
    trained = time.perf_counter()
    votes = read_votes(run.ground, model)
    keep_votes(votes, votes_folder(run, arguments), run.seed)
    scores = score_votes(run.ground, votes)
    return {
        "set": run.ground.pooled,
        "ground": run.ground.name,
        "is_sub_metre": run.ground.is_sub_metre,
        "is_half": run.ground.is_half,
        "points": run.points,
        "seed": run.seed,
        "recipe": run.recipe,
        "minutes": run.minutes,
        "scores": scores,
        "weights": {member.kind: member.weight for member in model.members},
        "steps": model.metadata.get("steps", 0),
        "reason": model.metadata.get("reason", ""),
        "training_s": trained - started,
        "mapping_s": time.perf_counter() - trained,
    }


def draw_of(run: Run, arguments: argparse.Namespace) -> int:
    """Return the seed of the points."""
    return run.seed if arguments.point_seed < 0 else arguments.point_seed


def budget(recipe: Recipe, config: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the time or the steps that a recipe gets."""
    if recipe.is_fitted:
        return {"minutes": 0.5}
    if arguments.steps is not None:
        return {"steps": round(arguments.steps * recipe.longer)}
    minutes = arguments.minutes or config.optimization.minutes
    return {"minutes": minutes * recipe.longer}


def read_votes(ground: Ground, model: Any) -> Votes:
    """Return the probabilities of every member on every test scene, and of all members by their weights.

    Every member gets the windows that it gets in a map of all members: the normalization of some networks depends on them.
    """
    from geopointseg.config import Config
    from geopointseg.prediction.prediction_job import resolve_overlap, resolve_window
    from geopointseg.prediction.predictor import predict_array
    from geopointseg.raster.scene import Scene

    settings, margin = Config().prediction, max(m.margin_px for m in model.members)
    window = resolve_window(settings, margin)
    overlap = resolve_overlap(replace(settings, window_px=window), margin)
    votes: Votes = {}
    for path in dict.fromkeys(place.scene for place in ground.test):
        scene = Scene.open(path)
        each = {
            m.kind: predict_array([m], scene, window_px=window, overlap_px=overlap)[0]
            for m in model.members
        }
        each["all"] = sum(m.weight * each[m.kind] for m in model.members)
        if len(model.members) > 1:
            each["alike"] = sum(each[m.kind] for m in model.members) / len(model.members)
        votes[path] = each
    return votes


def score_votes(ground: Ground, votes: Votes) -> dict[str, Any]:
    """Score every member alone, all of them by weight, and all of them alike."""
    result = {}
    for name in next(iter(votes.values())):
        maps = {path: np.argmax(each[name], axis=0) for path, each in votes.items()}
        matrix = ground.score(lambda path, maps=maps: maps[path])
        edges = ground.score_boundaries(lambda path, maps=maps: maps[path])
        result[name] = {
            "mean_f1": matrix.mean("f1"),
            "counts": matrix.counts.tolist(),
            "boundaries": edges.tolist(),
        }
    return result


def votes_folder(run: Run, arguments: argparse.Namespace) -> Path:
    """Return where the votes of one recipe lie, all seeds beside each other."""
    return Path(arguments.output) / "votes" / Path(run.file.replace(f"-{run.seed}-", "-", 1)).stem


def keep_votes(votes: Votes, folder: Path, seed: int) -> None:
    """Write votes as bytes, so that models of several seeds can vote together later."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, each in votes.items():
        as_bytes = {name: np.rint(255 * p).astype(np.uint8) for name, p in each.items()}
        np.savez_compressed(folder / f"{Path(path).stem}-{seed}.npz", **as_bytes)


def score_seeds_together(run: Run, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Score the models of all seeds as one ensemble; nothing where a seed is missing."""
    folder = votes_folder(run, arguments)
    votes: Votes = {}
    for path in dict.fromkeys(place.scene for place in run.ground.test):
        files = [folder / f"{Path(path).stem}-{seed}.npz" for seed in arguments.seeds]
        if len(files) < 2 or not all(file.exists() for file in files):
            return None
        kept = [dict(np.load(file)) for file in files]
        common = [name for name in kept[0] if all(name in each for each in kept)]
        votes[path] = {n: np.mean([k[n] for k in kept], axis=0, dtype=np.float32) for n in common}
    return {
        "set": run.ground.pooled,
        "ground": run.ground.name,
        "is_sub_metre": run.ground.is_sub_metre,
        "is_half": run.ground.is_half,
        "points": run.points,
        "seed": len(arguments.seeds),
        "recipe": f"{run.recipe}, all seeds together",
        "minutes": run.minutes,
        "scores": score_votes(run.ground, votes),
    }


if __name__ == "__main__":
    main()
