"""A controller of your own in one file: stop when entropy runs away, whatever the score says.

    python examples/own_controller.py                                       # tries it on a made-up curve
    crestfall run chain plugins='[own_controller]' control.name=entropy_guard   # with this directory on PYTHONPATH

A controller is a frozen dataclass: its fields are its options, its state is plain JSON data that it is handed and
returns. Registered, it works in `crestfall run`, `crestfall replay`, `Guard` and the TRL callback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from crestfall.analysis import replay
from crestfall.core.registry import register
from crestfall.core.types import CampaignSummary, Decision, Record


@register("control", "entropy_guard")
@dataclass(frozen=True)
class EntropyGuard:
    """Stop once entropy is `factor` times what it was at its first measurement; hand on the best step before that."""

    name: ClassVar[str]

    factor: float = 3.0
    """How far entropy may rise."""

    def init(self) -> Mapping[str, Any]:
        return {"entropy": None, "best": None, "best_step": None}

    def decide(self, state: Mapping[str, Any], record: Record) -> tuple[Mapping[str, Any], Decision]:
        entropy = record.signals.get("entropy")  # absent where it was not measured, never 0
        if entropy is not None and state["entropy"] is not None and entropy > self.factor * state["entropy"]:
            reason = f"entropy {entropy:.2f} is {entropy / state['entropy']:.1f} times what it was"
            return state, Decision("stop", state["best_step"], reason, {"entropy": entropy})
        new = dict(state)
        if state["entropy"] is None:
            new["entropy"] = entropy
        if state["best"] is None or record.value > state["best"]:
            new |= {"best": record.value, "best_step": record.step}
        return new, Decision("continue")

    def keep(self, state: Mapping[str, Any]) -> frozenset[int]:
        return frozenset() if state["best_step"] is None else frozenset({state["best_step"]})

    def last(self, state: Mapping[str, Any], step: int) -> Decision:
        return Decision("stop", step if state["best_step"] is None else state["best_step"], "budget used up")

    def budget(self, default: int, history: Sequence[CampaignSummary]) -> int:
        return default


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
