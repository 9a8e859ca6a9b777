"""Two curves of sixty steps to write logs of, and how to write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

STEPS = list(range(1, 61))
RNG = np.random.default_rng(0)
UP_AND_DOWN = np.round(np.interp(STEPS, [1, 30, 60], [0.3, 0.75, 0.2]) + 0.02 * RNG.standard_normal(60), 4).tolist()
HELD = np.round(np.interp(STEPS, [1, 30, 60], [0.3, 0.75, 0.75]) + 0.02 * RNG.standard_normal(60), 4).tolist()
POINTS = list(zip(STEPS, UP_AND_DOWN, strict=True))


def lines(write: Callable[[int, float], str], values: Sequence[float] = UP_AND_DOWN) -> str:
    return "".join(write(step, value) for step, value in zip(STEPS, values, strict=True))


def both(write: Callable[[int, float, str], str]) -> str:
    """Two runs in turn, called a and b."""
    return "".join(write(s, a, "a") + write(s, b, "b") for s, a, b in zip(STEPS, UP_AND_DOWN, HELD, strict=True))


def table(header: str, row: Callable[[int, float], str], end: str = "\n") -> str:
    return header + end + "".join(row(s, v) + end for s, v in POINTS)


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
