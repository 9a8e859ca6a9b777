"""Counts as they stand in a log, which may be damaged: checked before anything is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def whole(data: Mapping[str, Any], key: str, least: int = 1) -> int:
    """The whole number under a key. Raises KeyError or ValueError."""
    value = data[key]
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{key} is {str(value)[:40]!r}, expected a whole number from {least}")
    return value


def counts(data: Mapping[str, Any], key: str, most: int) -> tuple[int, ...]:
    """At least one count from 0 to `most`. Raises KeyError, TypeError or ValueError."""
    found = tuple(data[key])
    if not found or not all(isinstance(count, int) and 0 <= count <= most for count in found):
        raise ValueError(f"{key} is {str(data[key])[:40]!r}, expected whole numbers from 0 to {most}")
    return found


def counts_if_any(data: Mapping[str, Any], key: str, most: int) -> tuple[int, ...] | None:
    """None where there are none. Raises TypeError or ValueError."""
    return counts(data, key, most) if key in data else None
