"""Rewards with chance in them: one that knows nothing of the program, the control for whatever a rule does by itself
(Shao et al. 2025, "Spurious Rewards"), and one whose verdicts are wrong now and then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crestfall.core.rng import Key, stream
from crestfall.core.types import Problem


def random_reward(passed_PG: NDArray[np.bool_], problems: Sequence[Problem], key: Sequence[Key]) -> NDArray[np.bool_]:
    """Each sample rewarded with the batch's pass rate as its chance, drawn from the stream of key and problem.

    Which samples are rewarded is independent of which passed; only how many tend to be is not.
    """
    rate, group = passed_PG.mean(), passed_PG.shape[1]
    return np.stack([stream("random reward", *key, p.task_id).random(group) < rate for p in problems])


def random_flips(share: float, group: int, problems: Sequence[Problem], key: Sequence[Key]) -> NDArray[np.bool_]:
    """[P, G] which verdicts are turned around, each with chance `share`, drawn from the stream of key and problem."""
    return np.stack([stream("flipped", *key, p.task_id).random(group) < share for p in problems])
