"""Format numbers for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crestfall.core.types import Decision

_BARS = "▁▂▃▄▅▆▇█"


def percent(score: float | None) -> str:
    return "" if score is None else f"{100 * score:.1f}%"


def points(difference: float) -> str:
    """A difference of two scores, in percentage points."""
    return f"{100 * difference:.1f}"


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 05`; rough on purpose."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f}"


def sparkline(scores: Sequence[float], top: float, width: int = 24) -> str:
    """Scores from 0 to `top` as bars; of more than `width` the latest."""
    scale = (len(_BARS) - 1) / max(top, 1e-9)
    return "".join(_BARS[min(len(_BARS) - 1, round(score * scale))] for score in scores[-width:])


def verdict_mix(verdicts: Mapping[str, int]) -> str:
    """`passed 32%, wrong answer 41%, ...`, the largest first."""
    total = sum(verdicts.values())
    ranked = sorted(verdicts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name.replace('_', ' ')} {count / total:.0%}" for name, count in ranked)


def acts(event: Mapping[str, Any]) -> bool:
    """Whether the controller did something at a `step` event."""
    choice = Decision.from_json(event["decision"])
    return choice.action != "continue" or choice.changes_training


def decision(event: Mapping[str, Any]) -> str:
    """The controller's decision in a `step` event, in words."""
    choice = event["decision"]
    changes = Decision.from_json(choice).changes
    if choice["action"] == "continue" and changes:
        return f"goes on, {changes}: {choice['reason']}"
    if choice["action"] == "continue":
        waited = choice["evidence"].get("waited")
        return f"goes on, {waited} past the peak" if waited else "goes on"
    if choice["action"] == "rollback":
        return f"rolls back to step {choice['target_step']}: {choice['reason']}"
    return f"stops, keeps step {choice['target_step']}: {choice['reason']}"
