"""One sentence over all curves of a run: how its evaluations went, and whether parts of the reward disagree."""

from __future__ import annotations

from collections.abc import Sequence

from crestfall.analysis.classify import CurveClass

_COLLAPSED: tuple[CurveClass, ...] = ("rise_and_collapse", "collapse")
_WORDS: dict[CurveClass, str] = {
    "rise_and_collapse": "rises and collapses",
    "collapse": "collapses",
    "crash_and_recovery": "crashes and recovers",
    "rise": "rises and holds",
    "flat": "stays flat",
    "decline": "declines",
    "too_few_points": "has too few points to say",
}


def words_for(label: CurveClass) -> str:
    return _WORDS[label]


def headline(curves: Sequence[tuple[str, str, CurveClass]]) -> str:
    """`curves`: (metric, role, class), the one that is shown first."""
    metric, _, label = curves[0]
    parts = [_evaluations(curves) or f"{metric} {_WORDS[label]}"]
    if label == "too_few_points":
        rewards = [(m, own) for m, role, own in curves[1:] if role == "reward" and own != label]
        parts += [f"the training reward {m} {_WORDS[own]}" for m, own in rewards]
    if hacked := _disagreement(curves):
        parts.append(hacked)
    return "; ".join(parts)


def _evaluations(curves: Sequence[tuple[str, str, CurveClass]]) -> str:
    labels = [label for _, role, label in curves if role == "evaluation"]
    if len(labels) < 2:
        return ""
    collapsed = sum(label in _COLLAPSED for label in labels)
    if collapsed:
        named = [metric for metric, role, label in curves if role == "evaluation" and label in _COLLAPSED]
        return f"{collapsed} of {len(labels)} evaluations collapse ({', '.join(named[:4])})"
    first = labels[0]
    return f"{labels.count(first)} of {len(labels)} evaluations: {_WORDS[first].replace('has', 'have')}"


def _disagreement(curves: Sequence[tuple[str, str, CurveClass]]) -> str:
    """The reward holds while an evaluation or a part of it falls."""
    fallen = [m for m, role, label in curves if role == "part" and label in (*_COLLAPSED, "decline")]
    wholes = {m: label for m, role, label in curves if role == "reward"}
    up = [m for m, role, label in curves if role in ("part", "reward") and label == "rise"]
    evaluations = [m for m, role, label in curves if role == "evaluation" and label in _COLLAPSED]
    if fallen and up and not any(label in _COLLAPSED for label in wholes.values()):
        rising = next((m for m in up if m not in wholes), up[0])
        return f"{rising} rises while {fallen[0]} falls: reward hacking"
    if evaluations and any(label in ("rise", "flat") for label in wholes.values()):
        whole = next(m for m, label in wholes.items() if label in ("rise", "flat"))
        return f"the training reward {whole} {_WORDS[wholes[whole]]} while {evaluations[0]} falls"
    return ""
