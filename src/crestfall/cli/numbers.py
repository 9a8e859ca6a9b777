"""Numbers on the command line: what is out of range is said before anything runs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def count(least: int = 1, most: int = 1_000_000) -> Callable[[str], int]:
    """A whole number in a range, as an argument's `type`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least:,} to {most:,}, found {text!r}")
        return value

    return parse


def amount(least: float = 0.0, most: float = 1e6, *, above: bool = False) -> Callable[[str], float]:
    """A finite number in a range, as an argument's `type`; `above`: `least` itself is too little."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least < value if above else least <= value) or not value <= most:
            low = f"above {least:g} and" if above else f"from {least:g}"
            raise argparse.ArgumentTypeError(f"expected a number {low} up to {most:g}, found {text!r}")
        return value

    return parse
