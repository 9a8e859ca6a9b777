"""A table that is the same in Markdown, LaTeX and CSV: people read rounded points, programs get every digit.

A cell is None (not known: a dash), a word, a number, an interval `(low, high)`, or a `Published` figure of the paper.
Scores are fractions inside; the column says how they are shown.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from research.paper.published import Published

Kind = Literal["text", "points", "share", "number", "two", "count", "p"]
Value = None | str | int | float | tuple[float, float] | Published
DASH = "–"

_SHOW: Mapping[Kind, Callable[[float], str]] = {
    "text": str,
    "points": lambda v: _no_minus_zero(f"{100 * v:.1f}"),
    "share": lambda v: f"{v:.2f}",
    "number": lambda v: _no_minus_zero(f"{v:.1f}"),
    "two": lambda v: _no_minus_zero(f"{v:.2f}"),
    "count": lambda v: f"{v:.0f}",
    "p": lambda v: "<0.001" if v < 0.001 else f"{v:.3f}",
}


@dataclass(frozen=True)
class Column:
    """`kind`: how numbers are shown (`points`: fractions x 100). `shape` says what the cells are, so that a CSV has the
    same columns whatever is known: one value, an interval, or a figure of the paper with its interval."""

    name: str
    kind: Kind = "text"
    shape: Literal["value", "interval", "published"] = "value"


@dataclass(frozen=True)
class Table:
    """`name` is the stem of its files and the name of its block in a page."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"{self.name}: a row has more or fewer cells than the {len(self.columns)} columns")


def shown(value: Value, kind: Kind) -> str:
    """A cell as people read it. `*` marks a figure that the paper did not print but that follows from what it did."""
    show = _SHOW[kind]
    match value:
        case None:
            return DASH
        case Published(point, low, high, tag):
            words = [] if point is None else [show(point)]
            if low is not None and high is not None:
                words.append(f"[{show(low)}, {show(high)}]")
            return (" ".join(words) or DASH) + ("" if tag == "paper" else "*")
        case (low, high):
            return f"[{show(low)}, {show(high)}]"
        case str():
            return value
        case _:
            return show(value)


def markdown(table: Table) -> str:
    lines = [f"**{table.title}**", "", _row([column.name for column in table.columns])]
    lines.append("|" + "".join("---|" if column.kind == "text" else "---:|" for column in table.columns))
    lines += [_row([_plain(shown(v, c.kind)) for v, c in zip(row, table.columns, strict=True)]) for row in table.rows]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)]) + "\n"


def latex(table: Table) -> str:
    """A `tabular` in a `table`; needs the package booktabs."""
    alignment = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    body = [" & ".join(_tex(shown(v, c.kind)) for v, c in zip(row, table.columns, strict=True)) for row in table.rows]
    caption = " ".join((f"{table.title}.", *table.notes))
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_tex(caption)}}}",
        rf"  \label{{tab:{table.name}}}",
        rf"  \begin{{tabular}}{{{alignment}}}",
        r"    \toprule",
        "    " + " & ".join(_tex(column.name) for column in table.columns) + r" \\",
        r"    \midrule",
        *(f"    {row} " + r"\\" for row in body),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def comma_separated(table: Table) -> str:
    """Every number in full; an interval is two columns, a figure of the paper three; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name for column in table.columns for name in _csv_names(column)])
    for row in table.rows:
        writer.writerow([text for v, c in zip(row, table.columns, strict=True) for text in _csv_cells(v, c)])
    return out.getvalue()


def _csv_names(column: Column) -> list[str]:
    ends = {"value": ("",), "interval": (" low", " high"), "published": ("", " low", " high")}[column.shape]
    return [column.name + end for end in ends]


def _csv_cells(value: Value, column: Column) -> Sequence[str]:
    if column.shape == "interval":
        low, high = value if isinstance(value, tuple) else (None, None)
        return [_full(low), _full(high)]
    if column.shape == "published":
        point, low, high = (value.value, value.low, value.high) if isinstance(value, Published) else (None, None, None)
        return [_full(point), _full(low), _full(high)]
    if isinstance(value, tuple | Published):
        raise ValueError(f"{column.name}: a column of single values holds {value!r}")
    return [_full(value)]


def _full(value: str | float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


_TEX = {"\\": r"\textbackslash{}", "–": "--", "±": r"$\pm$", "<": "$<$", ">": "$>$", "~": r"\textasciitilde{}"}
_TEX |= {character: "\\" + character for character in "&%$#_{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def _no_minus_zero(text: str) -> str:
    return text.removeprefix("-") if float(text) == 0 else text
