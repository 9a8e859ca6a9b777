"""Tables that lose no number: in a file or a pipe, which have no width, and on a terminal that is too narrow."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


class Fitting:
    """A table where there is room for it; else a line of `heading value` pairs for each row, which wraps."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = Measurement.get(console, options.update(max_width=10_000), self.table).maximum
        if needed <= options.max_width:
            yield self.table
        elif not console.is_terminal:
            console.width = needed  # nobody has to see all of it at once
            yield from console.render(self.table, options.update_width(needed))
        else:
            yield from self._lines()

    def _lines(self) -> Iterator[Text]:
        if self.table.title:
            yield Text(str(self.table.title), style="bold")
        headings = [str(column.header) for column in self.table.columns]
        for cells in zip(*(column.cells for column in self.table.columns), strict=True):
            parts = [
                Text.assemble((f"{name} ", "dim"), _text(cell)) for name, cell in zip(headings, cells, strict=True)
            ]
            yield Text("  ").join(part for part, cell in zip(parts, cells, strict=True) if _text(cell).plain)
        if self.table.caption:
            yield Text(str(self.table.caption), style="dim")


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))
