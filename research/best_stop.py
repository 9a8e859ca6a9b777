"""At which step would one fixed stop have been best? Chosen on tuning seeds, for the `fixed` arm of a study on others.

    python -m research.best_stop RUNS/tuning [--method naive]

Takes the first campaign of every chain of a method that was never stopped, and the step whose mean score over seeds,
select and report together, is highest; of equals the earliest.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crestfall.analysis.trajectory import FloatArray, Trajectory, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError


def mean_curve(campaigns: Sequence[Trajectory]) -> FloatArray:
    """Mean score at steps 0, 1, ... Raises InputError: no campaign, or they are not equally long (one was stopped)."""
    if not campaigns:
        raise InputError("a best stop needs finished chains of the method: found none; name another with --method")
    if len({len(t) for t in campaigns}) != 1:
        lengths = ", ".join(str(len(t)) for t in campaigns)
        raise InputError(f"a best stop needs campaigns that ran to their end; these have {lengths} evaluations")
    curves = [t.values_S if t.scored_S is None else (t.values_S + t.scored_S) / 2 for t in campaigns]
    return np.asarray(np.mean(curves, axis=0))


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input (one line on stderr)."""
    parser = script_parser("research.best_stop", __doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--method", default="naive")
    args = parser.parse_args(argv)
    runs = [r for r in read_study(args.study).by_method().get(args.method, []) if r.status == "done"]
    curve_S = mean_curve([run.campaigns[0] for run in runs])
    print("mean score by step: " + " ".join(f"{100 * value:.1f}" for value in curve_S))
    print(f"best stop: step {int(np.argmax(curve_S))}, seeds {', '.join(str(run.seed) for run in runs)}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
