"""Tables as text: a header line and rows of the same number of cells, as markdown, boxed, or set apart by tabs or
spaces; and tables of HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.numbers import counters, floats, missing

_SPLITS = (
    re.compile(r"\s*[|│┃║┆]\s*"),
    re.compile(r"\t"),
    re.compile(r"\s*&\s*"),
    re.compile(r"\s*;\s*"),
    re.compile(r"\s*,\s*"),
    _WIDE := re.compile(r"\s{2,}"),
    re.compile(r"\s+"),
)
_RULE = re.compile(
    r"^\s*\\(?:mid|h|top|c)(?:rule|line)\S*\s*$|^[\s|│┃║┆:+─━═┼╪╞╡├┤┝┥╇┡┩┏┓╭╮┌┐=-]+$|^[\s.…|│┆]*(?:\.\.|…)[\s.…|│┆]*$|"
    r"^\s*│(?:\s*(?:[iuf]\d+|str|bool|cat|date\S*)\s*[┆│])+\s*$"
)
"""Lines between the rows: rules, the dots of a table that is not shown in full, and polars' line of types."""
_NAMES_A_COUNTER = re.compile(
    r"step|iter|epoch|episode|batch|round|update|rollout|generation|index|idx|ckpt|checkpoint|itr|interact|frames",
    re.IGNORECASE,
)
_EMPHASIS = "*`_"


def frames_in(lines: Sequence[str]) -> list[Frame]:
    """Every table with a step counter and at least two rows; tables with the same header are one."""
    found: dict[tuple[str, ...], Frame] = {}
    at = 0
    while at < len(lines):
        at = _table_at(lines, at, found) or at + 1
    return [frame for frame in found.values() if frame.size > 1]


def _table_at(lines: Sequence[str], at: int, found: dict[tuple[str, ...], Frame]) -> int | None:
    """Takes in the table whose header is line `at`; the line after it, None where there is no table."""
    line = lines[at]
    if len(line) > 4000 or not _NAMES_A_COUNTER.search(line):
        return None
    for split in _SPLITS:
        header = _cells(line, split)
        if len(header) < 2 or not _is_header(header) or (split is _WIDE and header == line.split()):
            continue  # columns of single words may be one space apart in the rows
        step = next(i for i, cell in enumerate(header) if metrics.step_rank(cell) is not None)
        end, rows = at + 1, []
        while end < len(lines):
            if _RULE.match(lines[end]) and lines[end].strip():
                end += 1
                continue
            cells = _cells(lines[end], split)
            indexed = len(cells) == len(header) + 1
            cells = cells[1:] if indexed else cells
            if len(cells) != len(header) or not _is_row(cells, step):
                break
            rows.append(cells)
            end += 1
        if rows:
            frame = found.setdefault(tuple(header), Frame())
            for row in rows:
                frame.append(zip(header, row, strict=True))
            return end
    return None


def _cells(line: str, split: re.Pattern[str]) -> list[str]:
    text = line.strip().removesuffix("\\\\").rstrip()  # LaTeX's end of a row
    if "|" in split.pattern:
        text = text.strip("|│┃║").strip()
    return [cell.strip().strip(_EMPHASIS).strip() for cell in split.split(text)]


def _is_header(cells: Sequence[str]) -> bool:
    named = all(cell[:1].isalpha() or cell[:1] in "_" or not cell for cell in cells)
    return named and any(metrics.step_rank(cell) is not None for cell in cells)


def _is_row(cells: Sequence[str], step: int) -> bool:
    """A number where the steps are, and mostly numbers elsewhere."""
    numbers = len(floats(cells)[0]) + sum(map(missing, cells))
    return len(counters([cells[step]])[0]) == 1 and 2 * numbers >= len(cells)


class HtmlTables(HTMLParser):
    """Collects the rows of all tables and the text around them (`text`)."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.text: list[str] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables:
            if not self.tables[-1]:
                self.tables[-1].append([])
            self._cell = []
        elif tag in ("br", "p", "div", "li"):
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append("".join(self._cell).strip())
            self._cell = None

    def handle_data(self, data: str) -> None:
        (self.text if self._cell is None else self._cell).append(data)


def frames_of_html(html: str) -> tuple[list[Frame], str]:
    """The tables with a step counter, those with the same header as one, and the text outside of tables."""
    parser = HtmlTables()
    parser.feed(html)
    found: dict[tuple[str, ...], Frame] = {}
    for table in parser.tables:
        rows = [row for row in table if any(row)]
        if len(rows) < 2:
            continue
        header = rows[0]
        width = max(map(len, rows))
        header = [""] * (width - len(header)) + header  # pandas leaves the index without a heading
        if any(metrics.step_rank(cell) is not None for cell in header):
            frame = found.setdefault(tuple(header), Frame())
            for row in rows[1:]:
                frame.append((key, cell) for key, cell in zip(header, row, strict=False) if key)
    return [frame for frame in found.values() if frame.size > 1], "".join(parser.text)
