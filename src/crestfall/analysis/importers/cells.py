"""Rows as sparse columns of raw cells: what importers collect before anything is decided about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crestfall.analysis.importers.numbers import floats
from crestfall.analysis.trajectory import FloatArray, IntArray


@dataclass
class Frame:
    """Sparse columns: per key the rows in which it stands, and the raw cells."""

    size: int = 0
    cells: dict[str, tuple[list[int], list[Any]]] = field(default_factory=dict)
    _numbers: dict[str, tuple[int, tuple[FloatArray, IntArray]]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Frame:
        return cls.of_rows((tuple(row), tuple(row.values())) for row in rows)

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[tuple[str, ...], tuple[Any, ...]]]) -> Frame:
        """Rows of (keys, values). Those with the same keys are taken together: a log has few kinds of them."""
        kinds: dict[tuple[str, ...], tuple[list[int], list[tuple[Any, ...]]]] = {}
        size = 0
        for keys, values in rows:
            kind = kinds.get(keys)
            if kind is None:
                kind = kinds[keys] = ([], [])
            kind[0].append(size)
            kind[1].append(values)
            size += 1
        frame, mixed = cls(size), set()
        for keys, (at, rows_of) in kinds.items():
            for key, raws in zip(keys, zip(*rows_of, strict=True), strict=True):
                cell = frame.cells.get(key)
                if cell is None:
                    frame.cells[key] = (list(at), list(raws))
                else:
                    cell[0].extend(at)
                    cell[1].extend(raws)
                    mixed.add(key)
        for key in mixed:
            places, cells = frame.cells[key]
            order = sorted(range(len(places)), key=places.__getitem__)
            frame.cells[key] = ([places[i] for i in order], [cells[i] for i in order])
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

    def floats(self, key: str) -> tuple[FloatArray, IntArray]:
        """`numbers.floats` of a column, which several questions are answered from."""
        raws = self.cells[key][1]
        size, found = self._numbers.get(key, (-1, None))
        if found is None or size != len(raws):
            found = floats(raws)
            self._numbers[key] = len(raws), found
        return found

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
