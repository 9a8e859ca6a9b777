"""Curves of every class to measure the classifier on; `python -m research.simulate` prints its confusions.

Nothing here was fitted to a log. Sizes, lengths, levels, shapes and noise are drawn over the ranges that published runs
show; two kinds of noise: binomial evaluations (counts known to the classifier) and AR(1) noise (it knows nothing).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crestfall.analysis.classify import CLASSES, CurveClass, classify
from crestfall.analysis.noise import ar1
from crestfall.analysis.trajectory import FloatArray
from crestfall.cli.numbers import count
from crestfall.core.entry import guarded, script_parser
from crestfall.core.rng import stream

LENGTHS = (10, 20, 50, 100, 300)
LENGTHS_OF_RATES = (6, 10, 12, 20, 50, 100, 300)
LABELS: tuple[CurveClass, ...] = tuple(label for label in CLASSES if label != "too_few_points")
"""Classes that a curve can truly be of."""
NOISE_LEVELS = (0.01, 0.03, 0.06)
CORRELATIONS = (0.0, 0.5)
SAMPLES = (200, 500, 2000)


@dataclass(frozen=True, eq=False)
class Simulated:
    """A noisy curve, its standard errors where it was evaluated by counting, and the class it was made from."""

    label: CurveClass
    values_S: FloatArray
    errors_S: FloatArray | None


def level_curve(label: CurveClass, size: int, rng: np.random.Generator) -> FloatArray:
    """A noise-free curve of a class, within [0, 1].

    crash_and_recovery: from 0.6-0.9 to below 0.15 and back by 85% of the loss or more; rise: +0.1 to +0.5;
    rise_and_collapse: the same, then half to all of it (at least 0.1) is lost again, over 1 step to
    half of the run; collapse: from 0.5-0.95 to below a third; decline: -0.06 to -0.18 over at least half of the run.
    """
    x_S = np.linspace(0, 1, size)
    if label == "flat":
        return np.full(size, rng.uniform(0.1, 0.9))
    if label == "rise":
        return rng.uniform(0.05, 0.45) + rng.uniform(0.1, 0.5) * _rise(x_S, rng.uniform(0.3, 1.0), rng)
    if label == "crash_and_recovery":
        return _crashed(x_S, rng, rng.uniform(0.85, 1.0))
    if label == "decline":
        begin = rng.uniform(0, 0.5)
        return rng.uniform(0.25, 0.9) - rng.uniform(0.06, 0.18) * np.clip((x_S - begin) / (1 - begin), 0, 1)
    if label == "collapse":
        level = rng.uniform(0.5, 0.95)
        return level * (1 - rng.uniform(0.67, 1.0) * _fall(x_S, rng.uniform(0.2, 0.8), rng))
    start, height, turn = rng.uniform(0.05, 0.45), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.7)
    loss = max(0.1, height * rng.uniform(0.5, 1.0))
    return np.clip(start + height * _rise(x_S, turn, rng) - loss * _fall(x_S, turn, rng), 0, 1)


def _rise(x_S: FloatArray, until: float, rng: np.random.Generator) -> FloatArray:
    """0 at the start, 1 from `until` on: straight, saturating or sigmoid."""
    u_S = np.clip(x_S / until, 0, 1)
    shape = rng.integers(3)
    if shape == 0:
        return u_S
    if shape == 1:
        return np.asarray((1 - np.exp(-4 * u_S)) / (1 - np.exp(-4.0)))
    return np.asarray(u_S**2 * (3 - 2 * u_S))


def _fall(x_S: FloatArray, after: float, rng: np.random.Generator) -> FloatArray:
    """0 until `after`, 1 in the end: anything between a cliff and a slope over half of what is left and more."""
    width = (1 - after) * rng.uniform(0.02, 0.9)
    return np.clip((x_S - after) / width, 0, 1)


def _crashed(x_S: FloatArray, rng: np.random.Generator, back: float) -> FloatArray:
    """High (or risen), down in the middle, and back by a share of the loss."""
    top, low = rng.uniform(0.6, 0.9), rng.uniform(0.0, 0.15)
    fell, rose = rng.uniform(0.3, 0.5), rng.uniform(0.6, 0.75)
    end = low + back * (top - low)
    start = float(rng.choice([0.2, top]))
    turns = [0, 0.25, fell, fell + 0.1, rose, rose + 0.1, 1]
    return np.asarray(np.interp(x_S, turns, [start, top, top, low, low, end, end]))


@dataclass(frozen=True)
class Rates:
    """Shares of simulated curves: `sparse` and `flat` that are called anything else, recoveries that are found."""

    flat: float
    sparse: float
    half: float
    full: float
    twice: float

    def __str__(self) -> str:
        found = f"found: half-way {self.half:.2f}, full {self.full:.2f}, twice {self.twice:.2f}"
        return f"false on flat {self.flat:.3f}, on sparse {self.sparse:.3f}; crashes {found}"


HARMLESS = ("flat", "too_few_points")
CRASHED = ("rise_and_collapse", "collapse", "crash_and_recovery")


def rates(size: int, rng: np.random.Generator, noise: float, correlation: float, each: int) -> Rates:
    """Of one setting. Sparse: a reward that is 1 with probability 0.005 to 0.1 in batches of 8 to 64, independent."""

    def share(curves: Sequence[FloatArray], labels: Sequence[str]) -> float:
        return float(np.mean([classify(values_S, None, 499).label in labels for values_S in curves]))

    def noisy(level_S: FloatArray) -> FloatArray:
        return np.asarray(level_S + noise * ar1(rng, 1, size, correlation)[0])

    x_S = np.linspace(0, 1, size)
    flat = [noisy(level_curve("flat", size, rng)) for _ in range(each)]
    batches = [int(rng.choice([8, 16, 64])) for _ in range(each)]
    sparse = [rng.binomial(n, float(rng.choice([0.005, 0.02, 0.1])), size) / n for n in batches]
    half = [noisy(_crashed(x_S, rng, rng.uniform(0.3, 0.7))) for _ in range(each)]
    full = [noisy(_crashed(x_S, rng, rng.uniform(0.85, 1.0))) for _ in range(each)]
    twice = [noisy(np.interp(x_S, np.linspace(0, 1, 6), [0.8, 0.8, 0.1, 0.8, 0.1, 0.5])) for _ in range(each)]
    found = (share(curves, CRASHED) for curves in (half, full, twice))
    return Rates(1 - share(flat, HARMLESS), 1 - share(sparse, HARMLESS), *found)


def simulate(label: CurveClass, size: int, rng: np.random.Generator, noise: float, correlation: float) -> Simulated:
    """A curve with AR(1) noise of a given size, unknown to the classifier."""
    level_S = level_curve(label, size, rng)
    return Simulated(label, level_S + noise * ar1(rng, 1, size, correlation)[0], None)


def simulate_counts(label: CurveClass, size: int, rng: np.random.Generator, samples: int) -> Simulated:
    """A curve of pass rates of `samples` samples a point, with their standard errors."""
    level_S = level_curve(label, size, rng)
    values_S = rng.binomial(samples, level_S) / samples
    return Simulated(label, values_S, np.sqrt(values_S * (1 - values_S) / samples))


@dataclass(frozen=True, eq=False)
class Confusion:
    """`counts_KK[i, j]`: curves of class i called class j, in the order of `CLASSES`."""

    counts_KK: FloatArray

    @property
    def balanced_accuracy(self) -> float:
        """Mean over the classes that occur of the share called right."""
        totals_K = self.counts_KK.sum(axis=1)
        return float(np.mean(np.diag(self.counts_KK)[totals_K > 0] / totals_K[totals_K > 0]))

    def __str__(self) -> str:
        lines = ["true \\ called    " + "".join(f"{name:>19}" for name in CLASSES)]
        for name, row in zip(CLASSES, self.counts_KK, strict=True):
            lines.append(f"{name:<17}" + "".join(f"{int(x):>19}" for x in row))
        return "\n".join([*lines, f"balanced accuracy {self.balanced_accuracy:.3f}"])


def confusion(curves: Sequence[Simulated], replicates: int = 499) -> Confusion:
    counts_KK = np.zeros((len(CLASSES), len(CLASSES)))
    for curve in curves:
        called = classify(curve.values_S, curve.errors_S, replicates).label
        counts_KK[CLASSES.index(curve.label), CLASSES.index(called)] += 1
    return Confusion(counts_KK)


def _print_rates(each: int, seed: int) -> None:
    for size in LENGTHS_OF_RATES:
        for level in NOISE_LEVELS:
            for rho in CORRELATIONS:
                rng = stream("rates", seed, size, str(level), str(rho))
                found = rates(size, rng, level, rho, each)
                print(f"{size:>4} points, sigma {level:g}, rho {rho:g}: {found}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.simulate", __doc__)
    parser.add_argument("--each", type=count(), default=20, help="curves per class and setting (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rates", action="store_true", help="false classes on flat and sparse curves, recoveries found"
    )
    args = parser.parse_args(argv)
    if args.rates:
        _print_rates(args.each, args.seed)
        return 0
    total_KK = np.zeros((len(CLASSES), len(CLASSES)))
    for size in LENGTHS:
        settings = [("sigma", level, rho) for level in NOISE_LEVELS for rho in CORRELATIONS]
        settings += [("samples", float(samples), 0.0) for samples in SAMPLES]
        for kind, level, rho in settings:
            rng = stream("simulate", args.seed, size, kind, str(level), str(rho))
            curves = [
                simulate(label, size, rng, level, rho)
                if kind == "sigma"
                else simulate_counts(label, size, rng, int(level))
                for label in LABELS
                for _ in range(args.each)
            ]
            result = confusion(curves)
            recalls = np.diag(result.counts_KK)[: len(LABELS)] / args.each
            shown = "  ".join(f"{name} {recall:.2f}" for name, recall in zip(LABELS, recalls, strict=True))
            print(
                f"{size:>4} points, {kind} {level:g}, rho {rho:g}: {result.balanced_accuracy:.2f}   {shown}", flush=True
            )
            total_KK += result.counts_KK
    print(Confusion(total_KK))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
