"""An update rule of your own in one file: REINFORCE in which hard problems count more.

    python examples/own_update_rule.py                                      # shows the advantages it gives
    crestfall run chain plugins='[own_update_rule]' update.name=focal           # with this directory on PYTHONPATH

A rule turns which samples passed into advantages; the engine does the rest. Options of the optimizer are inherited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crestfall.core.registry import register
from crestfall.testbed.updates.base import Advantages, State, UpdateRule


@register("update", "focal")
@dataclass(frozen=True, kw_only=True)
class Focal(UpdateRule):
    """A_pg = (r_pg - mean_g r_p) (1 - mean_g r_p)^gamma: the group-mean baseline, with solved problems fading out.

    gamma 0 is the group mean alone. Degenerate cases: a group in which all or none passed has no gradient at all.
    """

    name: ClassVar[str]

    gamma: Annotated[float, Field(ge=0)] = 1.0
    """How fast a problem fades as it gets solved."""

    def advantages(self, passed_PG: NDArray[np.bool_], state: State) -> Advantages:
        rewards = passed_PG.astype(np.float64)
        solved_P1 = rewards.mean(axis=1, keepdims=True)
        weight_P1 = (1 - solved_P1) ** self.gamma
        return Advantages((rewards - solved_P1) * weight_P1, np.broadcast_to(solved_P1, rewards.shape), state)


def main() -> None:
    passed_PG = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    print(Focal().advantages(passed_PG, {}).values_PG)


if __name__ == "__main__":
    main()
