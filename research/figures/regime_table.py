"""The table behind the regime map: one row per cell and seed, read from CSV.

Columns: `seed`, `outcome` (one of `OUTCOMES`), `start`, `peak`, `end` (pass@1 as fractions on report, empty where
nothing was measured); every other column that `MEASURES` does not name is a factor (learning_rate, baseline, ...).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError

OUTCOMES = ("no_rise", "rise_and_hold", "rise_and_collapse", "dies")
_REQUIRED = ("seed", "outcome", "start", "peak", "end")
# What a row may say beside factors. A column `start_x` or `gap_x` belongs to the measure `start` or `gap`.
MEASURES = (
    "cell",
    "seed",
    "outcome",
    "start",
    "peak",
    "end",
    "gap",
    "rise",
    "onset",
    "steps",
    "seconds",
    "digest",
    "path",
)


@dataclass(frozen=True)
class RegimeRow:
    """One chain of the design."""

    levels: tuple[str, ...]
    seed: str
    outcome: str
    start: float | None
    peak: float | None
    end: float | None
    balanced: bool = True
    """Whether the run belongs to those over which the factors are balanced, where the table marks them."""


@dataclass(frozen=True)
class RegimeTable:
    """The design: names of the factors and the rows; `constant` holds the factors that never vary."""

    factors: tuple[str, ...]
    rows: tuple[RegimeRow, ...]
    constant: tuple[tuple[str, str], ...] = ()

    def levels(self, factor: int) -> list[str]:
        """The factor's levels, numbers by size before words by alphabet."""
        return sorted({row.levels[factor] for row in self.rows}, key=level_order)

    def cells(self) -> dict[tuple[str, ...], list[RegimeRow]]:
        """The rows of each cell, cells sorted by their factors' levels, rows by seed."""
        grouped: dict[tuple[str, ...], list[RegimeRow]] = {}
        for row in sorted(self.rows, key=lambda row: ([level_order(v) for v in row.levels], level_order(row.seed))):
            grouped.setdefault(row.levels, []).append(row)
        return grouped

    def explained(self, factor: int, outcome: str = "rise_and_collapse") -> float:
        """Share of the variance of "this chain has `outcome`" that lies between the factor's levels (eta squared)."""
        hits = [row.outcome == outcome for row in self.rows]
        mean = sum(hits) / len(hits)
        total = sum((hit - mean) ** 2 for hit in hits)
        if not total:
            return 0.0
        between = 0.0
        for level in self.levels(factor):
            at = [hit for hit, row in zip(hits, self.rows, strict=True) if row.levels[factor] == level]
            between += len(at) * (sum(at) / len(at) - mean) ** 2
        return between / total

    def by_influence(self) -> RegimeTable:
        """The same table with the factors ordered by how much of the collapse they explain."""
        order = sorted(range(len(self.factors)), key=lambda f: -self.explained(f))
        rows = tuple(
            RegimeRow(tuple(r.levels[f] for f in order), r.seed, r.outcome, r.start, r.peak, r.end, r.balanced)
            for r in self.rows
        )
        return RegimeTable(tuple(self.factors[f] for f in order), rows, self.constant)


def level_order(level: str) -> tuple[int, float, str]:
    """A sort key: numbers by size, then words."""
    try:
        return 0, float(level), level
    except ValueError:
        return 1, 0.0, level


def read_table(path: Path, factors: Sequence[str] | None = None) -> RegimeTable:
    """Read the CSV. `factors` overrules which columns are factors.

    Raises:
        InputError: a file without the required columns or without rows, a number that is none, an unknown outcome.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            records = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from error
    missing = [name for name in (*_REQUIRED, *(factors or ())) if name not in header]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; columns are {', '.join(header) or 'none'}")
    if not records:
        raise InputError(f"{path}: has a header and no rows; expected one row per cell and seed")
    names = list(factors) if factors is not None else [name for name in header if not _is_measure(name)]
    varying = [name for name in names if len({record[name] for record in records}) > 1]
    array = any(in_array(record.get("cell") or "") for record in records)
    rows = tuple(_row(path, number, record, varying, array) for number, record in enumerate(records, start=2))
    return RegimeTable(tuple(varying), rows, tuple((name, records[0][name]) for name in names if name not in varying))


def in_array(cell: str) -> bool:
    """Whether a run belongs to an array over which every factor is balanced: its name begins with `d`. If a table has
    no such runs, effects are over all of them."""
    return cell.startswith("d")


def _is_measure(column: str) -> bool:
    return any(column == measure or column.startswith(f"{measure}_") for measure in MEASURES)


def _row(path: Path, line: int, record: Mapping[str | None, Any], factors: Sequence[str], array: bool) -> RegimeRow:
    if None in record.values() or None in record:
        raise InputError(f"{path}:{line}: has more or fewer fields than the header")
    if record["outcome"] not in OUTCOMES:
        raise InputError(f"{path}:{line}: outcome {record['outcome']!r} is none of {', '.join(OUTCOMES)}")

    def share(column: str) -> float | None:
        try:
            return float(record[column]) if record[column] else None
        except ValueError:
            raise InputError(f"{path}:{line}: {column} {record[column]!r} is not a number") from None

    levels = tuple(str(record[factor]) for factor in factors)
    scores = share("start"), share("peak"), share("end")
    return RegimeRow(levels, record["seed"], record["outcome"], *scores, balanced=not array or in_array(record["cell"]))
