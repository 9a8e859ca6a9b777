"""Format numbers for the page. Scores are fractions in the data, per cent and points on the page."""

from __future__ import annotations


def percent(value: float, decimals: int = 0) -> str:
    return f"{100 * value:z.{decimals}f}%"


def points(value: float, decimals: int = 1) -> str:
    """A difference of two scores, in points."""
    return f"{100 * value:z.{decimals}f}".replace("-", "−")


def with_error(value: float, error: float | None) -> str:
    """`58.1 ± 2.3`: points and their standard error, where known."""
    return points(value) if error is None else f"{points(value)} ± {points(error)}"


def compact(value: float) -> str:
    """A number of any size in few characters, for axis labels and evidence."""
    if value == int(value) and abs(value) < 100_000:
        return f"{int(value):,}"
    return f"{value:.3g}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def p_value(p: float, replicates: int) -> str:
    """`0.031`; one that no simulation of so many replicates could undercut is an upper bound: `≤ 0.005`."""
    return f"≤ {p:.3f}" if p <= 1.5 / (1 + replicates) else f"{p:.3f}"
