"""One line of a console log at a time: the row on it, the counters it names, the progress bars it shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.text import flat

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PY_PAIR = re.compile(
    rf"""['"]?([A-Za-z_][^'":{{}}]*)['"]?\s*:\s*(?:(?:\w+\.)*\w+\()?['"]?({_NUMBER}|nan|inf|-inf|NaN|\d+/\d+)['"]?(?=\s*[,)}}\]])"""
)
_PAIR = re.compile(
    rf"(?P<key>[A-Za-z_][\w./@%-]*(?:\([^()=:]*\))?(?: [A-Za-z_(][\w./@%()-]*){{0,3}})\s*[:=]\s*(?P<value>{_NUMBER}%?)"
    r"(?![\w:/]|\.\d|-\d)"
)
_WRAPPED = re.compile(r"^(?:\w+\.)*\w+\((.+?)\)$")
_MARK = re.compile(
    r"(?<![\w/.])(train[ _-]?step|training[ _-]?step|global[ _-]?step|step|iteration|iter|rollout|update|epoch|episode|"
    r"batch|round|eval|perf|generation)\s*(?:[#:=]|no\.?|\[)?\s*(\d+)(?:\s*/\s*(\d+))?(?![\w.]*\.\d|\w|%)",
    re.IGNORECASE,
)
_BAR = re.compile(r"(\d+)/(\d+)\s*\[[^\]]*(?:it/s|s/it|\d:\d\d|\?)")
_DESCRIBED = re.compile(r"([A-Za-z][\w .()-]*)(?:\[(\d+)/\d+\])?\s*:\s*\d+%\|[^|]*\|\s*$")
_BOX = re.compile(r"^\s*[│┃|║]\s*([^│┃|║]+?)\s*[│┃|║]\s*([^│┃|║]*?)\s*[│┃|║]\s*$")
_BORDER = re.compile(r"^\s*(?:[╭╰┌└┏┗╔╚+]|-{5,}|={5,}\s*$)")
_BULLET = re.compile(rf"^\W*([A-Za-z_][\w ./@%()-]*?)\s*[:=]\s*({_NUMBER})%?\s*(?:\(.*\)|[a-z]{{1,8}})?\s*$")
_HELD_OUT = re.compile(r"\b(eval|evaluation|evaluated|evaluating|valid|validation|validated|test)\b", re.IGNORECASE)
_EVALUATED = re.compile(r"\b[Ee]valuat(?:ed|ing|ion)\s+(?:results?\s+)?(?:on |of |for )?([A-Za-z][\w./-]*)")
_FILLERS = ("at", "in", "with", "and")
_SUMMARY = "train_runtime"


@dataclass(frozen=True)
class Shape:
    """What the keys of a row say of it: whether a step counter (an epoch is none) or a score is among them, and whether
    it is a row of an evaluation. Rows have few shapes, so it is worked out once for each."""

    counted: bool
    scored: bool
    evaluation: bool


@lru_cache(maxsize=4096)
def shape_of(keys: tuple[str, ...]) -> Shape:
    return Shape(
        counted=any(metrics.step_rank(key) is not None and key != "epoch" for key in keys),
        scored=any(metrics.role_of(key) != "aside" for key in keys),
        evaluation=any(key.startswith("eval") for key in keys),
    )


@dataclass
class Line:
    """A row: its cells, the syntax it was written in, whether a counter is named in it or beside it, and how many
    progress bars had been shown before it."""

    cells: dict[str, Any]
    syntax: str
    counted: bool
    bars: int
    shape: Shape


@dataclass
class Scanner:
    """Takes lines in order. `bars`: (now, total) of every progress bar that has no description of its own."""

    rows: list[Line] = field(default_factory=list)
    bars: list[tuple[int, int]] = field(default_factory=list)
    _block: dict[str, Any] = field(default_factory=dict)
    _marks: dict[str, int] = field(default_factory=dict)
    _prefix: str = ""

    def take(self, line: str) -> None:
        if not line or line.isspace():
            return
        if "{" in line and self._dict(line):
            return
        if " - " in line and ":" in line and self._dashes(line):
            return
        if _BORDER.match(line):
            self._flush()
            return
        if self._boxed(line):
            return
        marks = marks_in(line)
        bar = _BAR.search(line)
        if self._pairs(line, marks, bar):
            return
        if bar:
            self._bars(line)
        elif marks:
            self._flush()
            self._marks = marks
            self._prefix = "eval/" if _HELD_OUT.search(line) and "train" not in line.lower() else ""
        elif line.rstrip().endswith(":") or "results" in line.lower():
            self._prefix = "validation/" if _HELD_OUT.search(line) else ""

    def end(self) -> None:
        self._flush()

    # --- syntaxes ---------------------------------------------------------------------------------------------------

    def _dict(self, line: str) -> bool:
        begin, end = line.find("{"), line.rfind("}")
        cells = dict_in(line[begin : end + 1]) if end > begin else None
        if not cells or _SUMMARY in cells:
            return bool(cells)
        before = line[:begin]
        if "/" in before:
            self._bars(before)
        marks = marks_in(before[-160:]) if before else {}
        if not marks and "epoch" not in cells and not self.bars:
            marks = self._marks
        self._emit(cells, marks, "dict")
        if end + 1 < len(line) and "/" in line[end:]:
            self._bars(line[end + 1 :])
        return True

    def _dashes(self, line: str) -> bool:
        parts = line.split(" - ")
        cells: dict[str, Any] = {}
        for part in parts:
            key, colon, value = part.rpartition(":")
            if not colon:
                continue
            key, value = key.strip(), value.strip()
            if " " in key and key.endswith(" step"):
                key = "step"
            if "(" in value and (match := _WRAPPED.match(value)):
                value = match[1]
            if key[:1].isalpha() and value and (value[0] in "0123456789.-+" or value in ("nan", "inf")):
                cells[key] = value
        if not cells or "step" in cells:
            marks: dict[str, int] = {}
        else:
            marks = marks_in(line) or self._marks
        if not cells or (len(cells) < 2 and not marks) or (len(cells) < len(parts) / 2 and not marks):
            return False
        self._emit(cells, marks, "dashes")
        return True

    def _boxed(self, line: str) -> bool:
        match = _BOX.match(line)
        if match is None:
            return False
        key, value = match[1], match[2]
        if not key[0].isalpha():
            return False
        if not value:
            self._prefix = key if key.endswith("/") else ""
        elif re.fullmatch(_NUMBER + "%?", value):
            self._put(self._prefix + key if self._prefix.endswith("/") else key, value)
        return True

    def _pairs(self, line: str, marks: dict[str, int], bar: re.Match[str] | None) -> bool:
        if ":" not in line and "=" not in line:
            return False
        bullet = _BULLET.match(line)
        if bullet and not marks and not bar:
            key = bullet[1]
            self._put(f"{self._prefix}{key}" if not _HELD_OUT.search(key) else key, bullet[2])
            return True
        cells: dict[str, Any] = {}
        first = len(line)
        for match in _PAIR.finditer(line):
            key = match["key"].strip()
            if metrics.step_rank(key) is None or key.lower() not in marks:
                cells.setdefault(_named(key), match["value"])
                first = min(first, match.start())
        cells = {key: value for key, value in cells.items() if key}
        if bar:
            marks = {**marks, **_bar_marks(line, bar)}
        if not marks and _HELD_OUT.search(line[:first]):
            marks = self._marks  # an evaluation's line, after that of its step
        if not cells or not (marks or any(metrics.step_rank(key) is not None for key in cells)):
            return False
        head = line[:first]
        if named := _EVALUATED.search(head):
            cells = {f"eval/{named[1]}/{key}": value for key, value in cells.items()}
        elif _HELD_OUT.search(head) and "train" not in head.lower():
            cells = {
                key if _HELD_OUT.search(key) or metrics.step_rank(key) is not None else f"eval/{key}": value
                for key, value in cells.items()
            }
        self._emit(cells, marks, "bar" if bar else "pairs")
        return True

    # --- rows -------------------------------------------------------------------------------------------------------

    def _emit(self, cells: dict[str, Any], marks: dict[str, int], syntax: str) -> None:
        for key, value in marks.items():
            cells.setdefault(key, value)
        shape = shape_of(tuple(cells))
        self.rows.append(Line(cells, syntax, bool(marks) or shape.counted, len(self.bars), shape))

    def _put(self, key: str, value: str) -> None:
        if key in self._block:
            self._flush()
        self._block[key] = value

    def _flush(self) -> None:
        if self._block:
            self._emit(self._block, self._marks, "block")
            self._block = {}

    def _bars(self, text: str) -> None:
        for match in _BAR.finditer(text):
            if not _DESCRIBED.search(text[: match.start()]):
                self.bars.append((int(match[1]), int(match[2])))


def dict_in(text: str) -> dict[str, Any] | None:
    """The numbers of a Python or JSON dict; None where it has none."""
    try:
        data = json.loads(text.replace("'", '"'))
        if isinstance(data, dict):
            nested = "{" in text[1:]
            return (dict(flat(data)) if nested else data) or None
    except ValueError:
        pass
    pairs = _PY_PAIR.findall(text)
    return {key.strip(): value for key, value in pairs} or None


def marks_in(line: str) -> dict[str, int]:
    """Counters that a line names: `Epoch 1/5 Step 3/80` is {"epoch": 1, "step": 3}."""
    found: dict[str, int] = {}
    for match in _MARK.finditer(line):
        word = match[1].lower().replace(" ", "_").replace("-", "_")
        word = {"eval": "eval_step", "perf": "perf_step", "iter": "iteration"}.get(word, word)
        found.setdefault(word, int(match[2]))
    return found


def _bar_marks(line: str, bar: re.Match[str]) -> dict[str, int]:
    """The counter of a progress bar that carries its own values; `Episode [2/3]` before it counts whole bars."""
    described = re.search(r"([A-Za-z]\w*)\s*\[(\d+)/(\d+)\]", line[: bar.start()])
    now, total = int(bar[1]), int(bar[2])
    return {"step": now + total * (int(described[2]) - 1) if described else now}


def _named(key: str) -> str:
    """A key without the words of the sentence before it (`INFO Reward`) that are no part of a name."""
    if "(" in key and ")" not in key:
        key = key.rpartition("(")[2]
    words = key.split(" ")
    while len(words) > 1 and ((words[0].isupper() and len(words[0]) > 3) or words[0].lower() in _FILLERS):
        words.pop(0)
    return " ".join(words)
