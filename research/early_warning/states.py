"""States whose futures were sampled: one step of a chain (weights, optimizer, problems), and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from research.early_warning.chains import FALL, Chain
from research.regret.cells import rows_of

FORKS = 8
AHEAD = 4
BEFORE = (1, 3)
QUIET_AT = 5
FORKS_FILE = "forks.jsonl"


@dataclass(frozen=True)
class State:
    """A state of a chain and its forks. `falls_in`: steps until the chain itself falls, None if it does not.
    `forks`: scores on report 3 and 4 steps later, fork by fork."""

    regime: str
    arm: str
    seed: int
    step: int
    falls_in: int | None
    best: float
    forks: tuple[tuple[float, float], ...] = ()

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.regime, self.arm, self.seed, self.step

    @property
    def fallen(self) -> tuple[bool, ...]:
        return tuple(max(scores) <= self.best - FALL + 1e-9 for scores in self.forks)


def states_of(chain: Chain) -> list[State]:
    """The states of a chain that are forked."""
    fall = chain.fall
    places: list[tuple[int, int | None]] = [(QUIET_AT, None)]
    if fall is not None:
        places = [(fall - before, before) for before in BEFORE if fall > before]
    return [
        State(chain.regime, chain.arm, chain.seed, step, left, max(chain.report[: step + 1])) for step, left in places
    ]


def read_states(file: Path) -> list[State]:
    """A line per state, as `forks` writes them. Raises InputError (file, line, key)."""
    return rows_of(file, _STATE)


_STATE = TypeAdapter(State)
