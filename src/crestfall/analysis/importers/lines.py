"""The lines of a console log, one after the other: rows, with the counters and progress bars that they are under.

A log has few shapes of lines, so each is read (`syntax.py`) once; of later lines of the same shape, those that differ
in their numbers alone, only the numbers are taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.numbers import floats
from crestfall.analysis.importers.syntax import Cell, Parsed, parse

_TOKEN = r"([-+]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+)"
"""A number that is never read in another way when what follows does not fit: several times as fast as `NUMBER`."""
_TOKENS = re.compile(rf"(?<![\w/@.\-]){_TOKEN}")
MOST_SHAPES = 20_000
MOST_GROUPS = 90
FEWEST_IN_A_LIST = 4
_CLOCKS = frozenset(("elapsed_time", "remaining_time", "time", "timestamp", "date"))


@dataclass(frozen=True, slots=True)
class Shape:
    """Properties of a row by its keys: whether they hold a step counter (an epoch is none) or a score, whether the row
    is of an evaluation, and whether it has nothing but one counter."""

    counted: bool
    scored: bool
    evaluation: bool
    counts_alone: bool


@lru_cache(maxsize=4096)
def shape_of(keys: tuple[str, ...]) -> Shape:
    return Shape(
        counted=any(metrics.step_rank(key) is not None and not metrics.counts_weakly(key) for key in keys),
        scored=any(metrics.role_of(key) != "aside" for key in keys),
        evaluation=any(key.startswith("eval") for key in keys),
        counts_alone=len(keys) == 1 and metrics.step_rank(keys[0]) is not None,
    )


@dataclass(slots=True)
class Line:
    """A row: its keys and values, the syntax it was written in, whether a counter is named in it or beside it, how many
    progress bars had been shown before it, and what the text before it is put together from."""

    keys: tuple[str, ...]
    values: tuple[Any, ...]
    syntax: str
    counted: bool
    bars: int
    shape: Shape
    before: Before

    @property
    def head(self) -> str:
        """The text before the row."""
        return self.before if isinstance(self.before, str) else self.before[0].head_of(self.before[1])


@dataclass(slots=True)
class _Plan:
    """Plan for taking the numbers out of lines of one shape. `match`: matches such a line, one group per token;
    `cells` and `marks`: (key, token or -1, text after the token or constant text). `row`: keys and tokens of a row that
    needs nothing from other lines. `silent`: the line has neither cells
    nor marks. `follower`: the plan of the line that came next the last time."""

    parsed: Parsed
    match: Callable[[str], re.Match[str] | None]
    cells: tuple[tuple[str, int, Any], ...]
    marks: tuple[tuple[str, int, Any], ...]
    bars: tuple[tuple[int, int], ...]
    literals: tuple[str, ...]
    head: int
    head_rest: str
    keys: tuple[str, ...]
    row: Callable[[Sequence[str]], tuple[str, ...]] | None
    counters: tuple[tuple[str, int], ...]
    counted: bool
    shape: Shape
    silent: bool
    follower: _Plan | None = None

    def head_of(self, numbers: Sequence[str]) -> str:
        pieces = (p for i in range(self.head) for p in (self.literals[i], numbers[i]))
        return "".join(pieces) + self.head_rest


Before = str | tuple[_Plan, Sequence[str]]
"""The text before a row, or a plan and the numbers of its line: few rows are asked for it."""


@dataclass
class Scanner:
    """Takes lines in order. `bars`: (now, total) of every progress bar that has no description of its own."""

    rows: list[Line] = field(default_factory=list)
    bars: list[tuple[int, int]] = field(default_factory=list)
    _plans: dict[tuple[str, ...], _Plan | None] = field(default_factory=dict)
    _last: _Plan | None = None
    _block: dict[str, Any] = field(default_factory=dict)
    _block_head: Before = ""
    _title: Before = ""
    _counters: tuple[tuple[tuple[str, int], ...], Sequence[str]] = ((), ())
    _marks: Mapping[str, Any] | None = field(default_factory=dict)
    _prefix: str = ""
    _above: list[tuple[int, str]] = field(default_factory=list)

    def take(self, lines: Iterable[str]) -> None:
        rows, bars = self.rows, self.bars
        for line in filter(None, lines):
            last = self._last
            plan = None if last is None else last.follower
            match = None if plan is None else plan.match(line)
            if match is not None:
                numbers: Sequence[str] = match.groups()
            else:
                plan, numbers = self._plan_for(line)
                if plan is None:
                    self._parsed(parse(line), line)
                    continue
                if last is not None:
                    last.follower = plan
            assert plan is not None
            self._last = plan
            if plan.silent:
                for now, total in plan.bars:
                    bars.append((int(float(numbers[now])), total))
                continue
            if plan.row is None or self._block:
                self._planned(plan, numbers)
                continue
            values, before = plan.row(numbers), (plan, numbers) if plan.head else plan.head_rest
            shown = len(bars) + plan.parsed.before
            rows.append(Line(plan.keys, values, plan.parsed.syntax, plan.counted, shown, plan.shape, before))
            for now, total in plan.bars:
                bars.append((int(float(numbers[now])), total))
            if plan.counters:
                self._counters, self._marks = (plan.counters, numbers), None

    def _plan_for(self, line: str) -> tuple[_Plan | None, Sequence[str]]:
        parts = _TOKENS.split(line)
        shape = tuple(parts[::2])
        plan = self._plans.get(shape, _UNKNOWN)
        if plan is _UNKNOWN:
            plan = _plan_of(line, parts)
            if len(self._plans) < MOST_SHAPES:
                self._plans[shape] = plan
        return plan, parts[1::2]

    def end(self) -> None:
        self._flush()

    def _planned(self, plan: _Plan, numbers: Sequence[str]) -> None:
        bars = [(int(float(numbers[now])), total) for now, total in plan.bars]
        cells = {key: raw if at < 0 else numbers[at] + raw for key, at, raw in plan.cells}
        marks = {key: raw if at < 0 else numbers[at] + raw for key, at, raw in plan.marks}
        self._apply(plan.parsed, cells, marks, bars, (plan, numbers))

    def _parsed(self, parsed: Parsed, line: str) -> None:
        bars = [(int(now.raw), int(total.raw)) for now, total in parsed.bars]
        cells = {cell.key: cell.raw for cell in parsed.cells}
        self._apply(parsed, cells, {cell.key: cell.raw for cell in parsed.marks}, bars, line[: parsed.head])

    def _apply(
        self,
        parsed: Parsed,
        cells: dict[str, Any],
        marks: dict[str, Any],
        bars: Sequence[tuple[int, int]],
        head: Before,
    ) -> None:
        match parsed.kind:
            case "row":
                self._flush()
                self.bars += bars[: parsed.before]
                self._row(parsed.syntax, cells, marks, head)
                self.bars += bars[parsed.before :]
            case "part":
                prefix = self._path(parsed.head) or self._prefix
                for key, raw in cells.items():
                    self._put(key if key.startswith(_HELD_OUT) else prefix + key, raw, head)
            case "mark":
                self._flush()
                self._marks, self._prefix, self._title, self._above = marks, parsed.prefix or "", head, []
            case "title" if parsed.nested:
                self._path(parsed.head)
                self._above.append((parsed.head, parsed.prefix or ""))
            case "title":
                self._prefix, self._above = parsed.prefix or "", []
                self._title = head if parsed.head else self._title
            case "edge":
                self._flush()
            case "bars":
                self.bars += bars

    def _row(self, syntax: str, cells: dict[str, Any], marks: dict[str, Any], head: Before) -> None:
        if _is_lists(cells):
            self._lists(cells, head)
            return
        if not marks and "epoch" not in cells and not self.bars:
            marks = dict(self._current())
        elif syntax == "pairs":
            self._marks = {k: v for k, v in (cells | marks).items() if metrics.step_rank(k) is not None}
        self._add(marks | cells, syntax, bool(marks), head)

    def _path(self, indented: int) -> str:
        """The keys of the mappings that a line so far to the right stands in."""
        while self._above and self._above[-1][0] >= indented:
            self._above.pop()
        return "".join(key for _, key in self._above)

    def _lists(self, cells: dict[str, Any], head: Before) -> None:
        """A dict of lists (Keras' history) holds a row per element."""
        for values in zip(*cells.values(), strict=True):
            self._add(dict(zip(cells, values, strict=True)), "dict", False, head)

    def _put(self, key: str, value: Any, head: Before) -> None:
        if key in self._block:
            self._flush()
        if not self._block:
            self._block_head = self._title or head
        self._block[key] = value

    def _flush(self) -> None:
        if self._block:
            self._add({**self._current(), **self._block}, "block", bool(self._current()), self._block_head)
            self._block = {}

    def _current(self) -> Mapping[str, Any]:
        """The counters that rows without one are of."""
        if self._marks is None:
            counters, numbers = self._counters
            self._marks = {key: numbers[at] for key, at in counters}
        return self._marks

    def _add(self, cells: dict[str, Any], syntax: str, marked: bool, head: Before) -> None:
        keys = tuple(cells)
        shape = shape_of(keys)
        counted = marked or shape.counted
        self.rows.append(Line(keys, tuple(cells.values()), syntax, counted, len(self.bars), shape, head))


_UNKNOWN: Any = object()
_HELD_OUT = ("eval", "val", "test")


def _is_lists(cells: dict[str, Any]) -> bool:
    sizes = {len(raw) if isinstance(raw, list) else 0 for raw in cells.values()}
    return len(sizes) == 1 and min(sizes) >= FEWEST_IN_A_LIST and all(len(floats(raw)[0]) for raw in cells.values())


def _is_constant(raw: Any) -> bool:
    """Whether a value that is no token is the same in every line of the shape."""
    if isinstance(raw, str):
        return not _TOKENS.search(raw)
    return raw is None or isinstance(raw, bool) or (isinstance(raw, float) and not math.isfinite(raw))


def _plan_of(line: str, parts: list[str]) -> _Plan | None:
    """None: a number stands in a key or a heading, or a value is more than a token and what follows it."""
    parsed = parse(line)
    starts, ends, at = {}, [0], 0
    for i, part in enumerate(parts):
        if i % 2:
            starts[at] = i // 2
        at += len(part)
        if i % 2:
            ends.append(at)

    def place(cell: Cell) -> tuple[str, int, Any] | None:
        token = starts.get(cell.at, -1)
        if token < 0:
            return (cell.key, -1, cell.raw) if _is_constant(cell.raw) else None
        number = parts[2 * token + 1]
        return (cell.key, token, cell.raw[len(number) :]) if cell.raw.startswith(number) else None

    found = [[place(cell) for cell in some if cell.key not in _CLOCKS] for some in (parsed.cells, parsed.marks)]
    bars = [(starts.get(now.at, -1), int(total.raw)) for now, total in parsed.bars]
    if any(cell is None for some in found for cell in some) or any(now < 0 for now, _ in bars):
        return None
    cells, marks = (tuple(cell for cell in some if cell is not None) for some in found)
    head = next((i for i in range(len(ends) - 1, -1, -1) if ends[i] <= parsed.head), 0)
    cut = any(at < parsed.head < at + len(parts[2 * i + 1]) for at, i in starts.items())
    if cut or any(_TOKENS.search(key) for key, _, _ in (*cells, *marks)):
        return None
    both = {cell[0]: cell for cell in (*marks, *cells)}
    keys, shape = tuple(both), shape_of(tuple(both))
    counted = bool(parsed.marks) or shape.counted
    alone = parsed.kind == "row" and (counted or "epoch" in both)
    plain = alone and len(both) > 1 and all(at >= 0 and not raw for _, at, raw in both.values())
    literals = tuple(parts[::2])
    groups = len(literals) - 1
    pattern = re.compile(_TOKEN.join(map(re.escape, literals)) if groups <= MOST_GROUPS else r"(?!)")
    counters = [(key, at) for key, at, _ in both.values() if metrics.step_rank(key) is not None]
    return _Plan(
        parsed,
        pattern.fullmatch,
        cells,
        marks,
        tuple(bars),
        literals,
        head,
        line[ends[head] : parsed.head],
        keys,
        itemgetter(*(at for _, at, _ in both.values())) if plain else None,
        tuple(counters) if parsed.syntax == "pairs" else (),
        counted,
        shape,
        parsed.kind in ("nothing", "bars"),
    )
