"""The capability vector: what else a policy can and cannot do, beside pass@1, from the counts of one evaluation.

The paper names its members and gives neither their definitions nor their sizes; these are ours:

- `pass_at_1`, and `pass_at_16`: the unbiased estimate from counts (absent below 16 samples a problem);
- `diversity`: different programs among the passing samples / passing samples, over all problems (absent where none
  passed). It falls by itself as more samples pass, since n samples of one problem have few ways to be right: read it
  beside pass@1.
- `hard_case_accuracy`: pass@1 on the third of the problems on which the base policy passed least, told by samples that
  score nothing else (a third picked by its own score would rise on the next look by chance alone).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from crestfall.core.passk import estimate
from crestfall.core.types import Evaluation

MEMBERS = ("pass_at_1", "pass_at_16", "diversity", "hard_case_accuracy")
K = 16


def capability(evaluation: Evaluation, hard: Sequence[int] | None = None) -> dict[str, float]:
    """The members that this evaluation tells, under the names of `MEMBERS`. `hard`: places of the hard problems."""
    passed_P, n = evaluation.passed_P, evaluation.n
    out = {"pass_at_1": evaluation.pass_at_1}
    if n >= K:
        out["pass_at_16"] = fmean(estimate(n, passed, K) for passed in passed_P)
    if evaluation.distinct_P is not None and any(passed_P):
        out["diversity"] = sum(evaluation.distinct_P) / sum(passed_P)
    if hard:
        out["hard_case_accuracy"] = sum(passed_P[p] for p in hard) / (n * len(hard))
    return out


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The capability delta: `after` minus `before`, of what both have."""
    return {member: after[member] - before[member] for member in MEMBERS if member in before and member in after}


def hard_third(base: Evaluation) -> list[int]:
    """Places of the third of the problems (rounded up) that passed least; of equals the first, whatever follows."""
    order = sorted(range(len(base.passed_P)), key=base.passed_P.__getitem__)
    return sorted(order[: math.ceil(len(order) / 3)])
