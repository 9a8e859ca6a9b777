"""What an importer is: it says whether a file is its format, which files are one run, and what stands in them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

HEAD_BYTES = 1 << 16
"""How much of a file an importer may look at to recognise it."""


@dataclass
class History:
    """All numbers of one run as they stand in the file: per key the (step, value) pairs in the order of the file.

    `samples`: how many graded samples are behind a value, per key and step, where the format tells. `not_finite` counts
    values left out because they were NaN or infinite.
    """

    name: str
    source: Path
    format: str
    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    samples: dict[str, dict[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    not_finite: int = 0

    def add(self, step: int, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Take in the numbers of one row; what is not a number is passed over."""
        for key, raw in values.items() if isinstance(values, Mapping) else values:
            value = number(raw)
            if value is None:
                continue
            if math.isfinite(value):
                self.points.setdefault(key, []).append((step, value))
            else:
                self.not_finite += 1


def number(raw: Any) -> float | None:
    """A float from a number or a numeric string; None for everything else (booleans are not measurements)."""
    if isinstance(raw, bool) or not isinstance(raw, float | int | str):
        return None
    try:
        return float(raw)
    except (ValueError, OverflowError):
        return None


def step_number(raw: Any) -> int | None:
    """A step from a number or a numeric string; None for everything else."""
    value = number(raw)
    return int(value) if value is not None and math.isfinite(value) else None


class Importer(Protocol):
    """A frozen dataclass with these methods, registered as kind `importer`."""

    name: ClassVar[str]

    def claims(self, path: Path, head: bytes) -> bool:
        """Is this file, by its name and its first bytes, of this format? No two importers claim the same file."""
        ...

    def group(self, path: Path) -> Hashable:
        """Files of one group are read together, as one run."""
        ...

    def read(self, paths: Sequence[Path]) -> list[History]:
        """The runs in the files of one group. Raises InputError that names file and line for what cannot be read."""
        ...
