"""Numbers printed in the paper (arXiv 2606.21090, v1), from `published.csv`; unknown ones are None, never a guess.

`tag`: `paper`: quoted or tabulated from it by a source; `infer`: arithmetic on published numbers. Scores are
fractions.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True)
class Published:
    """A number with its interval, as far as each was printed. An interval alone has no value."""

    value: float | None
    low: float | None
    high: float | None
    tag: str
    where: str


def published(table: int, arm: str, quantity: str, scale: str = "7B") -> Published | None:
    """None: not known."""
    return _all().get((str(table), arm, quantity, scale))


@lru_cache(maxsize=1)
def _all() -> dict[tuple[str, str, str, str], Published]:
    text = (resources.files("research.paper") / "published.csv").read_text(encoding="utf-8")
    return {
        (row["table"], row["arm"], row["quantity"], row["scale"]): Published(
            _number(row["value"]), _number(row["low"]), _number(row["high"]), row["tag"], row["where"]
        )
        for row in csv.DictReader(text.splitlines())
    }


def _number(text: str) -> float | None:
    return float(text) if text else None
