"""Time limits of a program. The trainer's side shares them, since it has to wait longer than that."""

from __future__ import annotations

# A program that gets less than this share of a core over a slice of wall time counts as asleep for that slice. So a
# busy machine does not bring a program nearer to its wall limit, and a program cannot stretch its time beyond CPU limit
# / AWAKE.
SLICE, AWAKE = 0.25, 0.05


def longest(cpu_seconds: float, wall_seconds: float) -> float:
    """Seconds after which one run of a program has been ended, whatever it does."""
    return wall_seconds + cpu_seconds / AWAKE + SLICE
