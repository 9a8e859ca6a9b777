"""Lines that look like rows and are none: sampled answers that a trainer prints (`Step 2: reward = 7`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.lines import Line
from crestfall.analysis.importers.numbers import count_distinct, counters
from crestfall.analysis.trajectory import FloatArray, IntArray

FEWEST = 8
APART = 1.5
"""Lines without a score are of another counter if that ends at so many times the step of those with one, or less."""
RISING = 0.9
"""Rows of one kind, the same keys, count steps when that share of them goes on, or stays, at the same step."""


def without_chatter(rows: list[Line]) -> tuple[list[Line], str]:
    """The rows, less those whose step lies outside of that of the rows before and after it, and a note.

    What is compared with is the kind of rows (with the same keys) that says most and counts up, or has no step of its
    own: a progress bar counts for it. Other kinds that count up by themselves remain.
    """
    kinds: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        kinds.setdefault(row.keys, []).append(i)
    if len(kinds) == 1:
        return rows, ""
    steps = {keys: found for keys, at in kinds.items() if (found := _steps([rows[i] for i in at], keys)) is not None}
    rising = {keys for keys, (_, steps_R) in steps.items() if _counts_up(steps_R)}
    scored = [keys for keys in kinds if rows[kinds[keys][0]].shape.scored and (keys in rising or keys not in steps)]
    if not scored:
        return rows, ""
    main = max(scored, key=lambda keys: len(keys) * len(kinds[keys]))
    at_R = np.array(kinds[main])
    dropped: set[int] = set()
    for keys, (counter, steps_R) in steps.items():
        index_R = np.array(kinds[keys])
        of = _steps([rows[i] for i in kinds[main]], [key for key in main if key == counter])
        if keys in rising:
            unscored = not rows[kinds[keys][0]].shape.scored
            if unscored and of is not None and not 1 / APART < (steps_R[-1] + 1) / (of[1][-1] + 1) < APART:
                dropped.update(index_R.tolist())  # DeepSpeed counts steps of its own
        elif main not in steps:
            dropped.update(index_R.tolist() if len(index_R) >= FEWEST else ())
        elif of is not None:
            fits_R = _fit(index_R, steps_R, at_R, of[1])
            dropped.update(index_R[~fits_R if fits_R.mean() > 0.5 else slice(None)].tolist())
    note = f"{len(dropped)} lines with a step of their own, as in sampled text: left out" if dropped else ""
    return [row for i, row in enumerate(rows) if i not in dropped], note


def _steps(rows: Sequence[Line], keys: Sequence[str]) -> tuple[str, FloatArray] | None:
    """The best counter among some keys of rows of one kind, and its values; None: they have none."""
    ranks = {key: rank for key in keys if (rank := metrics.step_rank(key)) is not None}
    ranks = {key: rank for key, rank in ranks.items() if not metrics.counts_weakly(key)}
    if not ranks:
        return None
    best = min(ranks, key=ranks.__getitem__)
    values_R, _ = counters([row.values[row.keys.index(best)] for row in rows])
    return (best, values_R) if len(values_R) == len(rows) else None


def _counts_up(steps_R: FloatArray) -> bool:
    moves_R = np.diff(steps_R)
    on = len(steps_R) >= FEWEST and (moves_R >= 0).mean() >= RISING
    return bool(on and count_distinct(steps_R) >= FEWEST)


def _fit(index_R: IntArray, steps_R: FloatArray, at_R: IntArray, main_R: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether each row's step lies between those of the main rows around it."""
    after_R = np.searchsorted(at_R, index_R)
    padded = np.concatenate([[min(0.0, main_R[0])], main_R, [np.inf]])
    around_2R = np.stack([padded[after_R], padded[after_R + 1]])
    return np.asarray((around_2R.min(axis=0) <= steps_R) & (steps_R <= around_2R.max(axis=0)))
