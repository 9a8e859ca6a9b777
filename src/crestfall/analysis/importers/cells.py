"""Rows as sparse columns of raw cells: what importers collect before anything is decided about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crestfall.analysis.trajectory import IntArray


@dataclass
class Frame:
    """Sparse columns: per key the rows in which it stands, and the raw cells."""

    size: int = 0
    cells: dict[str, tuple[list[int], list[Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Frame:
        frame = cls()
        for row in rows:
            frame.append(row.items())
        return frame

    @classmethod
    def of_columns(cls, columns: Mapping[str, Sequence[Any]]) -> Frame:
        frame = cls(max(map(len, columns.values()), default=0))
        frame.cells = {key: (list(range(len(cells))), list(cells)) for key, cells in columns.items()}
        return frame

    def append(self, row: Iterable[tuple[str, Any]]) -> None:
        at = self.size
        for key, raw in row:
            cell = self.cells.get(key)
            if cell is None:
                cell = self.cells[key] = ([], [])
            if cell[0] and cell[0][-1] == at:
                continue  # a key twice in a row: the first holds
            cell[0].append(at)
            cell[1].append(raw)
        self.size += 1

    def rows(self, where_R: IntArray) -> Frame:
        """The frame of some rows, in order."""
        new = np.full(self.size, -1)
        new[where_R] = np.arange(len(where_R))
        out = Frame(len(where_R))
        for key, (at, raws) in self.cells.items():
            kept = [(i, raw) for i, raw in zip(new[at].tolist(), raws, strict=True) if i >= 0]
            if kept:
                out.cells[key] = ([i for i, _ in kept], [raw for _, raw in kept])
        return out
