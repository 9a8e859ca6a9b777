"""Two policies on the same problems with the same random numbers: what differs between them is not chance alone."""

from __future__ import annotations

from collections.abc import Callable

from crestfall.core.errors import ConfigError
from crestfall.core.types import Duel, Snapshot
from crestfall.testbed.engines.base import Engine, EvaluationResult


def duel(
    engine: Engine, rival_step: int, rival: Snapshot, own: EvaluationResult, evaluate: Callable[[], EvaluationResult]
) -> Duel:
    """`own`: the evaluation of the weights that the engine holds, and will hold again; `evaluate` makes it again, with
    the rival's weights. Raises ConfigError where the engine does not say which samples passed."""
    held = engine.snapshot()
    engine.load_weights(rival)
    other = evaluate()
    engine.restore(held)
    if own.passed_PG is None or other.passed_PG is None:
        raise ConfigError("control: needs to know which samples passed, and this engine does not say")
    wins, losses = own.passed_PG & ~other.passed_PG, other.passed_PG & ~own.passed_PG
    return Duel(rival_step, int(wins.sum()), int(losses.sum()))
