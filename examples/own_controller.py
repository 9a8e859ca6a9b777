"""A controller of your own in one file: stop when entropy runs away, whatever the score says.

    python examples/own_controller.py                                       # tries it on a made-up curve
    crestfall run chain plugins='[own_controller]' control.name=entropy_guard   # with this directory on PYTHONPATH

A controller is a frozen dataclass: its fields are its options, its state is plain JSON data that it is handed and
returns. `PeakKeeper` keeps the best step, which the state names as `peak_step`. Registered, the controller works in
`crestfall run`, `crestfall replay`, `Guard` and the TRL callback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from crestfall.analysis import replay
from crestfall.control.base import PeakKeeper, State
from crestfall.core.registry import register
from crestfall.core.types import Decision, Record


@register("control", "entropy_guard")
@dataclass(frozen=True)
class EntropyGuard(PeakKeeper):
    """Stop once entropy is `factor` times what it was at its first measurement; keep the best step before that."""

    name: ClassVar[str]

    factor: float = 3.0
    """How far entropy may rise."""

    def init(self) -> State:
        return {"entropy": None, "peak": None, "peak_step": None}

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        entropy = record.signals.get("entropy")  # absent where it was not measured, never 0
        if entropy is not None and state["entropy"] is not None and entropy > self.factor * state["entropy"]:
            reason = f"entropy {entropy:.2f} is {entropy / state['entropy']:.1f} times what it was"
            return state, Decision("stop", state["peak_step"], reason, {"entropy": entropy})
        new = dict(state)
        if state["entropy"] is None:
            new["entropy"] = entropy
        if state["peak"] is None or record.value > state["peak"]:
            new |= {"peak": record.value, "peak_step": record.step}
        return new, Decision("continue")


def main() -> None:
    curve = [0.30, 0.41, 0.48, 0.47, 0.46, 0.20, 0.02]
    entropy = [0.50, 0.52, 0.60, 0.90, 1.70, 2.90, 3.00]
    records = [
        Record(i, value, signals={"entropy": e}) for i, (value, e) in enumerate(zip(curve, entropy, strict=True))
    ]
    done = replay.replay(EntropyGuard(), records)
    print(f"acted at step {done.acted_at}: {done.decision.reason}; kept step {done.kept_step}")


if __name__ == "__main__":
    main()
