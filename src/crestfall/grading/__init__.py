"""Grading: programs in, verdicts out. Fast enough for a training step, safe against what a policy may write. Without
torch."""

from crestfall.grading.grader import CodeGrader, Statistics
from crestfall.grading.limits import Limits

__all__ = ["CodeGrader", "Limits", "Statistics"]
