"""Tables from the results of runs: the bars, the parts, and every score."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from boundary import boundary_f1
from recipe import BARS, PARTS, SPEED

Key = tuple[str, int, str]
Scores = dict[Key, dict[int, float]]


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_tables(folder: Path) -> None:
    """Print all tables, and write what they hold as ``summary.json``."""
    runs = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*-*-*-*.json"))]
    if not runs:
        say("There are no results yet.")
        return
    scores = pool(runs)
    kinds = {run["set"]: _kind_of_set(run) for run in runs}
    _print_scores("Mean F1 in % (mean over seeds +- deviation)", scores, BARS)
    _print_scores("Part by part", scores, PARTS)
    _print_speed(runs)
    edges = pool_boundaries(runs)
    _print_scores("Boundary F1 within 3 pixels in %", edges, BARS)
    bars = measure_bars(scores, kinds)
    say("\nBars")
    for name, value, bar in bars:
        verdict = "-" if np.isnan(value) else ("met" if _is_met(value, bar) else "not met")
        say(f"  {name:<74} {value:7.2f}   {bar:<8} {verdict}")
    summary = {
        "scores": [
            {"set": s, "points": n, "recipe": r, "f1": f} for (s, n, r), f in scores.items()
        ],
        "boundary_f1": [
            {"set": s, "points": n, "recipe": r, "f1": f} for (s, n, r), f in edges.items()
        ],
        "bars": [{"bar": n, "value": v, "wanted": b} for n, v, b in bars],
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")


def pool(runs: Iterable[dict[str, Any]]) -> Scores:
    """Return mean F1 in % by set, points and recipe, then by seed; folds of a set are counted together.

    The members of a model are listed as ``RECIPE: member``. Where runs had several budgets of time, names tell them.
    """
    runs = list(runs)
    has_several = len({run.get("minutes") for run in runs}) > 1
    counts: dict[Key, dict[int, Any]] = defaultdict(dict)
    for run in runs:
        members = run["scores"] if len(run["scores"]) > 2 else {"all": run["scores"]["all"]}
        for member, value in members.items():
            recipe = run["recipe"]
            if has_several and run.get("minutes"):
                recipe += f", {run['minutes']:g} min"
            name = recipe if member == "all" else f"{recipe}: {member}"
            cell = counts[run["set"], run["points"], name]
            cell[run["seed"]] = np.array(value["counts"]) + cell.get(run["seed"], 0)
    return {key: {s: mean_f1(m) for s, m in seeds.items()} for key, seeds in counts.items()}


def pool_boundaries(runs: Iterable[dict[str, Any]]) -> Scores:
    """Return the boundary F1 in % by set, points and recipe, then by seed."""
    counts: dict[Key, dict[int, Any]] = defaultdict(dict)
    for run in runs:
        if "boundaries" in run["scores"]["all"]:
            cell = counts[run["set"], run["points"], run["recipe"]]
            found = np.array(run["scores"]["all"]["boundaries"])
            cell[run["seed"]] = found + cell.get(run["seed"], 0)
    return {key: {s: boundary_f1(c) for s, c in seeds.items()} for key, seeds in counts.items()}


def _kind_of_set(run: dict[str, Any]) -> str:
    if run.get("is_half"):
        return "half"
    return "fine" if run["is_sub_metre"] else "coarse"


def mean_f1(counts: Any) -> float:
    """Return the mean F1 in % over the classes in the reference (columns)."""
    present = counts.sum(axis=0) > 0
    hits = np.diag(counts)[present]
    return float(100 * np.mean(2 * hits / (counts.sum(axis=0) + counts.sum(axis=1))[present]))


def _print_scores(title: str, scores: Scores, recipes: Iterable[str]) -> None:
    columns = sorted({(s, n) for s, n, _ in scores})
    known = {r for _, _, r in scores}
    rows = [
        row for name in recipes for row in (name, *sorted(k for k in known if _belongs(k, name)))
    ]
    say(f"\n{title}\n{'':<44}" + "".join(f"{s[:11]:>12}{n or 'all':>4}" for s, n in columns))
    for row in rows:
        if row in known:
            cells = [_cell(scores.get((s, n, row), {})) for s, n in columns]
            say(f"{row:<44}" + "".join(f"{c:>16}" for c in cells))


def _belongs(row: str, recipe: str) -> bool:
    """Whether a row is of a recipe's members, seeds together, or one of its budgets."""
    rest = row.removeprefix(recipe)
    return rest != row and (rest.startswith((": ", ", all")) or rest.endswith(" min"))


def _print_speed(runs: list[dict[str, Any]]) -> None:
    """Print steps and taught pixels a second of the training as a whole, forest and held-out scores included.

    Beside each score stands how far it lies below the best one of the same ground, points, seed and time.
    """
    say(
        "\nSpeed: optimizer steps a second, pixels taught a second, mean F1 in %, points below the best of its time"
    )
    speed = [run for run in runs if run["recipe"] in SPEED and run.get("steps")]
    best: dict[Any, float] = defaultdict(float)
    for run in speed:
        best[_race(run)] = max(best[_race(run)], run["scores"]["all"]["mean_f1"])
    for run in sorted(
        speed, key=lambda r: (r["ground"], r["points"], r["seed"], r.get("minutes") or 0)
    ):
        sampling = {"chip_size": 96, "batch_size": 8} | dict(
            SPEED[run["recipe"]].changes.get("sampling", {})
        )
        pace = run["steps"] / run["training_s"]
        pixels = pace * sampling["batch_size"] * sampling["chip_size"] ** 2
        score = run["scores"]["all"]["mean_f1"]
        say(
            f"{run['ground']:<12}{run['points']:>4}{run['seed']:>3} {run['recipe']:<34}{run['training_s'] / 60:5.1f} min"
            f"{pace:8.2f}{pixels:12.0f}{100 * score:8.1f}{100 * (best[_race(run)] - score):8.1f}"
        )


def _race(run: dict[str, Any]) -> tuple[Any, ...]:
    return run["ground"], run["points"], run["seed"], run.get("minutes")


def _cell(seeds: dict[int, float]) -> str:
    if not seeds:
        return "."
    values = list(seeds.values())
    return f"{np.mean(values):.1f} +-{np.std(values):.1f} ({len(values)})"


def measure_bars(scores: Scores, kinds: Mapping[str, str]) -> list[tuple[str, float, str]]:
    """Return name, value and wanted value of every bar.

    Parameters
    ----------
    scores
        By set, points and recipe, then by seed.
    kinds
        ``fine``, ``coarse`` or ``half`` for each set.
    """
    fine = sorted(s for s, kind in kinds.items() if kind == "fine")
    rows = [
        row
        for points, mean, least in ((5, 8, None), (10, 8, 3), (50, 10, 4), (200, 10, None))
        for row in _bars_of_points(scores, fine, points, mean, least)
    ]
    forests = [g for s in kinds for g in _gains_over_forests(scores, s)]
    alone = [g for s in kinds for g in _gains(scores, "default", "network, points only", s)]
    longer = [g for s in kinds for g in _gains(scores, "default, 10 min", "default, 1 min", s)]
    return [
        *rows,
        (
            "default - better of both forests, worst of all sets and points",
            _least(forests),
            ">= -1",
        ),
        ("default of 10 minutes - of 1 minute, worst of all sets", _least(longer), ">= -1"),
        ("default - network on points alone, mean over all sets", _mean(alone), ">= 6"),
        ("spread over seeds, default / network on points alone", _spread(scores), "<= 0.5"),
        ("default from 50 points / network from dense labels", _share_of_dense(scores), ">= 0.92"),
    ]


def _bars_of_points(
    scores: Scores, sets: Sequence[str], points: int, mean: float, least: float | None
) -> list[tuple[str, float, str]]:
    """Return the gain of the default over the filter forest from some points a class."""
    pairs = [(s, _gain_at(scores, s, points)) for s in sets]
    gains = [g for _, g in pairs if g is not None]
    name = f"default - filter forest, {points} points a class, sub-metre sets"
    rows = [(f"{name}, mean", _mean(gains), f">= {mean:g}")]
    if least is not None:
        rows.append((f"{name}, worst", _least(gains), f">= {least:g}"))
    return rows


def _gain_at(scores: Scores, set_name: str, points: int) -> float | None:
    one, other = (scores.get((set_name, points, r)) for r in ("default", "filter forest"))
    return float(np.mean([*one.values()]) - np.mean([*other.values()])) if one and other else None


def _gains_over_forests(scores: Scores, set_name: str) -> list[float]:
    """Return what the default gains over the better of both forests, for each number of points of a set."""
    gains = []
    for s, n, recipe in scores:
        forests = [scores.get((s, n, f"{kind} forest")) for kind in ("pixel", "filter")]
        known = [np.mean([*f.values()]) for f in forests if f]
        if s == set_name and recipe == "default" and known:
            gains.append(float(np.mean([*scores[s, n, recipe].values()]) - max(known)))
    return gains


def _gains(scores: Scores, one: str, other: str, set_name: str) -> list[float]:
    """Return the difference of two recipes' means for each number of points of a set."""
    pairs = [
        (scores[s, n, one], scores[s, n, other])
        for s, n, recipe in scores
        if recipe == one and s == set_name and (s, n, other) in scores
    ]
    return [float(np.mean(list(a.values())) - np.mean(list(b.values()))) for a, b in pairs]


def _spread(scores: Scores) -> float:
    ratios = []
    for s, n, recipe in scores:
        other = scores.get((s, n, "network, points only"), {})
        if recipe == "default" and len(other) > 1:
            ratios.append(
                (np.std(list(scores[s, n, recipe].values())), np.std(list(other.values())))
            )
    return (
        float(np.sum([a for a, _ in ratios]) / max(np.sum([b for _, b in ratios]), 1e-9))
        if ratios
        else np.nan
    )


def _share_of_dense(scores: Scores) -> float:
    shares = []
    for s, n, recipe in scores:
        dense = scores.get((s, n, "network, dense labels"), {})
        if recipe == "default" and n == 50 and dense:
            shares.append(
                np.mean(list(scores[s, n, recipe].values())) / np.mean(list(dense.values()))
            )
    return _mean(shares)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else float("nan")


def _least(values: Iterable[float]) -> float:
    return float(min(values, default=float("nan")))


def _is_met(value: float, bar: str) -> bool:
    sign, limit = bar.split()
    return value >= float(limit) if sign == ">=" else value <= float(limit)
