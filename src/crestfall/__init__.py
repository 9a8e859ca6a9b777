"""crestfall: has this reinforcement-learning run already peaked, and which checkpoint should continue?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from crestfall.core import moved

__version__ = "0.1.0"

if TYPE_CHECKING:
    from crestfall.core.registry import register
    from crestfall.core.types import CampaignSummary, Decision, Problem, Record
    from crestfall.grading.grader import CodeGrader
    from crestfall.grading.limits import Limits
    from crestfall.guard.average import WeightAverage
    from crestfall.guard.code_evaluation import CodeEvaluation
    from crestfall.guard.guard import Guard
    from crestfall.guard.rewards import trl_reward
    from crestfall.guard.state import GlobalRng
    from crestfall.guard.step_meter import StepMeter
    from crestfall.guard.trl_callback import CrestfallCallback

__all__ = [
    "CampaignSummary",
    "CodeEvaluation",
    "CodeGrader",
    "CrestfallCallback",
    "Decision",
    "GlobalRng",
    "Guard",
    "Limits",
    "Problem",
    "Record",
    "StepMeter",
    "WeightAverage",
    "register",
    "trl_reward",
]
"""Public names, listed in docs/reference.md. Everything else may change between versions."""

_WHERE = {
    "core.registry": ("register",),
    "core.types": ("CampaignSummary", "Decision", "Problem", "Record"),
    "grading.grader": ("CodeGrader",),
    "grading.limits": ("Limits",),
    "guard.average": ("WeightAverage",),
    "guard.code_evaluation": ("CodeEvaluation",),
    "guard.guard": ("Guard",),
    "guard.rewards": ("trl_reward",),
    "guard.state": ("GlobalRng",),
    "guard.step_meter": ("StepMeter",),
    "guard.trl_callback": ("CrestfallCallback",),
}
_LAZY = {name: f"crestfall.{module}" for module, names in _WHERE.items() for name in names}

moved.install()


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import crestfall` itself stays fast."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
