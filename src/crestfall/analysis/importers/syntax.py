"""Parse one line of a console log: a row of numbers, a part of one, a counter, a progress bar, a heading.

Nothing here knows of other lines. Where a value was found is kept, so that lines of the same shape need not be read
again (`lines.py`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.numbers import NUMBER, NUMBERED
from crestfall.analysis.importers.text import flat
from crestfall.core.signals import word_set

_PY_PAIR = re.compile(
    rf"""['"]?([A-Za-z_][^'":{{}}]*)['"]?\s*:\s*(?:(?:\w+\.)*\w+\()?['"]?({NUMBER}|nan|inf|-inf|NaN|\d+/\d+)['"]?(?=\s*[,)}}\]\n])"""
)
_QUOTED_LINE = re.compile(r"""\s*[{("]*\s*(?:['"][^'"]+['"]\s*:\s*[^\s'"{}]*[\s,})"]*)*""")
"""A line of a dict that is printed over several."""
_PAIR = re.compile(
    rf"(?P<key>[A-Za-z_][\w./@%-]*(?:\([^()=:]*\))?(?: [A-Za-z_(][\w./@%()-]*){{0,3}})\s*[:=]\s*"
    rf"(?:(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*\(|\[)?(?P<value>{NUMBER}(?:%|/\d+(?=[\s,;)\]]|$))?|nan\b|-?inf\b)(?![\w/]|:\S|\.\d|-\d)"
)
_SPACED = re.compile(
    rf"(?:^|(?<=[\s|,;(>\]]))(?P<key>[A-Za-z_][\w./@%-]*(?:\([^()=:]*\))?(?: [A-Za-z_][\w./@%-]*){{0,2}})[ \t]+"
    rf"(?:(?:(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*|tensor|array|Array)\()?(?P<value>{NUMBER}(?:%|/\d+(?![\d.]))?)(?:/{NUMBER})?(?=[\s,;|)]|$)"
)
_AT_MARK = re.compile(
    rf"(?P<key>[A-Za-z_][\w./@%-]*(?: [A-Za-z_][\w./@%-]*){{0,2}})[ ,]+(?:at|after|@|for|in|of) (?:\w+ ){{0,2}}"
    rf"(?:step|iteration|iter|epoch|episode|update|round|checkpoint)s?\s*#?\s*\d+(?:/\d+)?\s*[:=]\s*(?P<value>{NUMBER}%?)(?![\w/.])",
    re.IGNORECASE,
)
"""`Average reward at step 3: 0.5`"""
_OF_ALL = re.compile(r"(\d+)(/| of | out of )(\d+)\s+(?:\w+\s+){0,2}?(solved|passed|correct|resolved)\b", re.IGNORECASE)
"""`73 of 164 problems solved`"""
_MARK = re.compile(
    r"(?<![\w/.])(train[ _-]?step|training[ _-]?step|global[ _-]?step|time[ _-]?step|step|iteration|iter|itr|rollout|"
    r"updates?|epoch|episode|ep|batch|round|eval|evaluation(?=\s*#)|perf|generation|checkpoint|ckpt)\.?\s*(?:[#:=]|no\.?|(?<=point)[-_]|(?<=ckpt)[-_]|(?<=step)[-_])?\s*\[?\s*(\d+(?:(?:\.\d+)?[kKM]\b)?)\]?"
    r"(?:\s*/\s*[\d.]+[kKM]?)?(?![\w.]*\.\d|\w|%)",
    re.IGNORECASE,
)
_MARK_AFTER = re.compile(
    r"(?:^|[\[(|]|\b(?:after|at)\s|@)\s*(\d+(?:\.\d+)?[kKM]?)\s*(step|iteration|iter|update|epoch|episode)s?\b(?!/)",
    re.IGNORECASE,
)
"""`[5k steps]`, `After 500 updates:`"""
_WORDS = {"eval": "eval_step", "evaluation": "eval_step", "perf": "perf_step", "iter": "iteration", "itr": "iteration"}
_WORDS |= {"ep": "episode", "ckpt": "checkpoint", "updates": "update"}
_FIRST_NUMBER = re.compile(NUMBER)
_OF_TOTAL = re.compile(r"\[\s*(\d+)\s*/\s*\d+\s*\]")
_WITHIN_EPOCH = re.compile(r"\]?\s*\(\s*(\d+)\s*/\s*\d+\s*\)")
"""minimind's `Epoch:[1/2](10/600)`."""
_BRACKETED = re.compile(r"\[\s*(\d+(?:\.\d+)?[kKM]?)\s*\]\s*$")
"""absl's and clu's `[500] accuracy=0.5`."""
_STAMP = re.compile(r"[\[(]?\d[\d:.,TZ/ +-]{3,}[\])]?[\s|-]*")
"""A time at the beginning of a line."""
_EVALUATED_PATH = re.compile(r"\beval|\bbenchmark|\btest", re.IGNORECASE)
_BAR = re.compile(r"(\d+)/(\d+)\s*\[[^\]]*(?:it/s|s/it|\d:\d\d|\?)")
_DESCRIBED = re.compile(r"([A-Za-z][\w .()-]*)(?:\[(\d+)/\d+\])?\s*:\s*\d+%\|[^|]*\|\s*$")
_TRAINING_BAR = re.compile(r"\btrain", re.IGNORECASE)
_COUNTS_BARS = re.compile(r"([A-Za-z]\w*)\s*\[(\d+)/(\d+)\]")
_BOXED = re.compile(r"^([^│┃║|]{0,80}?)\s*[│┃║|]\s*([^│┃║|].*?)\s*[│┃║|]\s*$")
_EDGES = {edge: re.compile(rf"\s*{re.escape(edge)}\s*") for edge in "│┃║|"}
_ACTOR = re.compile(r"\s*\([^()]*pid=\d+[^()]*\)")
"""Ray's prefix."""
_BORDER = re.compile(r"^(?:\([^()]*pid=\d+[^()]*\))?\s*(?:[╭╰┌└┏┗╔╚├┡┢+]|-{5,}|={5,}\s*$)")
_COLUMNS = re.compile(rf"^\s*([A-Za-z_][\w./@%()-]*(?: [\w./@%()-]+){{0,4}})(?:\s{{2,}}|\s*\t\s*)({NUMBER})\s*$")
_UNIT = re.compile(r"\s*(?:\(.*\)|[a-z]{1,8}|±.*)?\s*$")
_OVER = re.compile(
    r"\(?\b(?:over|across|of|in|for|from|on|the|last|past|previous|latest)\s(?:(?:the|last|past|previous|latest|all)\s)*"
    r"\d+\s(?:\w+\s)?(?:episodes?|eps|games?|matches|runs?|rollouts?|trials?|trajectories|samples?|problems?|prompts?|"
    r"tasks?|questions|seeds)\b\)?(?=\s*[:=])",
    re.IGNORECASE,
)
"""`Average reward over the last 100 episodes: 0.5`: how many a value is of, and no counter."""
_HEADING = re.compile(r"[\s=#*~-]*(\S+?)[\s=#*~:-]*")
_KEY_ALONE = re.compile(r"([a-z_][a-z0-9_.-]*):\s*$")
"""The name of a mapping in YAML (EasyR1)."""
_HELD_OUT = re.compile(r"\b(eval|evaluation|evaluated|evaluating|valid|validation|validated|test)\b", re.IGNORECASE)
_EVALUATED = re.compile(r"\b[Ee]valuat(?:ed|ing|ion)\s+(?:results?\s+)?(?:on |of |for )?([A-Za-z][\w./-]*)")
_FILLERS = ("at", "in", "with", "and")
_ABBREVIATIONS = word_set("avg. max. min. seq. grad. acc. std. no. num. val. eval. ep. mean. rew. len. cum. prob. dev.")
_LISTS = re.compile(r"""['"]:\s*\[""")
SUMMARY = "train_runtime"
"""transformers' last row: averages over the whole run."""
LONGEST = 20_000

Kind = Literal["row", "part", "mark", "edge", "title", "bars", "nothing"]


class Cell(NamedTuple):
    """A key, its raw value, and where in the line that begins (-1: nowhere as such)."""

    key: str
    raw: Any
    at: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """`row`: cells that stand for themselves; `part`: cells of a row that goes on over several lines; `mark`: counters
    that later rows are of; `edge`: such a row ends; `title`: a heading. `bars`: now and total of progress bars,
    `before` so many of them before the cells. `head`: how long the text before the first cell is. `prefix`: of the keys
    of the parts below a heading; `nested`: of those alone that stand further to the right than it."""

    kind: Kind
    cells: tuple[Cell, ...] = ()
    marks: tuple[Cell, ...] = ()
    bars: tuple[tuple[Cell, Cell], ...] = ()
    before: int = 0
    syntax: str = ""
    head: int = 0
    prefix: str | None = None
    nested: bool = False


NOTHING = Parsed("nothing")


def parse(line: str) -> Parsed:
    """Content of a single line."""
    if not line or line.isspace() or len(line) > LONGEST:
        return NOTHING
    if "{" in line and (found := _dict(line)):
        return found
    if line.lstrip()[:1] in "{}'\"" and _QUOTED_LINE.fullmatch(line):
        cells = tuple(Cell(m[1], m[2], m.start(2)) for m in _PY_PAIR.finditer(line + "\n"))
        return Parsed("part", cells, syntax="block") if cells else Parsed("edge")
    if _BORDER.match(line):
        return Parsed("edge")
    if (boxed := _BOXED.match(line)) and (found := _boxed(line, boxed)):
        return found
    marks, bar = marks_in(line), _BAR.search(line)
    if ":" in line or "=" in line:
        if over := _OVER.search(line):
            line = line[: over.start()] + " " * len(over[0]) + line[over.end() :]
        if found := _pairs(line, marks, bar):
            return found
    if found := _columns(line) or _spaced(line, marks):
        return found
    if bar:
        bars = _bars(line, 0)
        return Parsed("bars", bars=bars) if bars else NOTHING
    if marks:
        held_out = _HELD_OUT.search(line) and "train" not in line.lower()
        return Parsed("mark", marks=marks, prefix="eval/" if held_out else "", head=len(line))
    actor = _ACTOR.match(line)
    start = actor.end() if actor else 0
    if key := _KEY_ALONE.match(line, indented := len(line) - len(line[start:].lstrip())):
        evaluated = bool(_HELD_OUT.search(line))
        return Parsed("title", prefix="validation/" if evaluated else f"{key[1]}/", head=indented, nested=not evaluated)
    named = line.split(maxsplit=1)[0].rstrip(":")
    if len(line) < 60 and metrics.names_benchmark(named) and not _FIRST_NUMBER.search(line):
        return Parsed("title", prefix=f"{named}/")
    if line.rstrip().endswith(":") or "results" in line.lower():
        held_out = _HELD_OUT.search(line) and "train" not in line.lower()
        return Parsed("title", prefix="validation/" if held_out else "", head=0 if line[:1].isspace() else len(line))
    return NOTHING


# --- syntaxes -------------------------------------------------------------------------------------------------------


def _dict(line: str) -> Parsed | None:
    begin, end = line.find("{"), line.rfind("}")
    values = dict_in(line[begin : end + 1]) if end > begin else None
    if not values:
        return None
    if SUMMARY in values:
        return NOTHING
    before = line[:begin]
    first = _bars(before, 0) if "/" in before else ()
    after = _bars(line[end + 1 :], end + 1) if "/" in line[end:] else ()
    near = max(0, begin - 160)
    marks = tuple(Cell(m.key, m.raw, m.at + near) for m in _counters(before[near:])) if before else ()
    return Parsed("row", _placed(values, line, begin), marks, (*first, *after), len(first), "dict", begin)


def dict_in(text: str) -> dict[str, Any] | None:
    """The numbers of a Python or JSON dict; None where it has none."""
    try:
        data = json.loads(text.replace("'", '"'))
        if isinstance(data, dict):
            nested = "{" in text[1:]
            return (dict(flat(data)) if nested else data) or None
    except (ValueError, RecursionError):
        pass
    if _LISTS.search(text):
        return None
    pairs = _PY_PAIR.findall(text)
    return {key.strip(): value for key, value in pairs} or None


def _placed(values: dict[str, Any], line: str, at: int) -> tuple[Cell, ...]:
    """The cells of a dict, each where its value stands: after its key, in the order of the keys."""
    cells = []
    for key, raw in values.items():
        name = line.find(key.rpartition("/")[2] if key not in line else key, at)
        found = _FIRST_NUMBER.search(line, name + len(key.rpartition("/")[2])) if name >= 0 else None
        is_number = isinstance(raw, int | float | str) and not isinstance(raw, bool) and found is not None
        if is_number and found is not None and _equal(raw, found[0]):
            cells.append(Cell(key, raw if isinstance(raw, str) else found[0], found.start()))
            at = found.end()
        else:
            cells.append(Cell(key, raw, -1))
    return tuple(cells)


def _equal(raw: Any, text: str) -> bool:
    return raw.startswith(text) if isinstance(raw, str) else float(raw) == float(text)


def _boxed(line: str, boxed: re.Match[str]) -> Parsed | None:
    """`│ key │ value │`, several of them side by side, or `│ key   value │` and `│ key: value | key: value │`."""
    inner, begin = boxed[2], boxed.start(2)
    if boxed[1].strip() and "pid=" not in boxed[1]:
        return None
    edges = [
        (0, 0),
        *((m.start(), m.end()) for m in _EDGES[line.rstrip()[-1]].finditer(inner)),
        (len(inner), len(inner)),
    ]
    texts = [(inner[a:b], begin + a) for (_, a), (b, _) in pairwise(edges)]
    texts = [(text.strip(), at + len(text) - len(text.lstrip())) for text, at in texts]
    if len(texts) == 1:
        found = _columns(inner) or (_pairs(inner, (), None) if line.rstrip()[-1] != "|" else None)
        return found and Parsed("part", tuple(Cell(c.key, c.raw, c.at + begin) for c in found.cells), syntax="block")
    if len(texts) % 2:
        return None
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    if not all(key[:1].isalpha() or not key for (key, _), _ in pairs):
        return None
    ((key, _), (value, _)) = pairs[0]
    if not value and len(pairs) == 1:
        return Parsed("title", prefix=key if key.endswith("/") else "")
    cells = [Cell(k, v, at) for (k, _), (v, at) in pairs if re.fullmatch(NUMBER + "%?", v)]
    return Parsed("part", tuple(cells), syntax="block") if cells else NOTHING


def _pairs(line: str, marks: tuple[Cell, ...], bar: re.Match[str] | None) -> Parsed | None:
    """`key: value` or `key=value` pairs."""
    marks = marks if bar else _counters(line, marks)
    counted = {mark.key for mark in marks}
    found: dict[str, Cell] = {}
    first, last = len(line), 0
    actor = _ACTOR.match(line)
    for match in _PAIR.finditer(line, actor.end() if actor else 0):
        key = match["key"].strip()
        if bar and line.startswith("%|", match.end() - 1):
            continue  # a bar's own description
        first, last = min(first, match.start()), match.end()
        if (metrics.step_rank(key) is None or key.lower() not in counted) and (name := _named(key)):
            found.setdefault(name, Cell(name, match["value"], match.start("value")))
    if not found and (named := _AT_MARK.search(line)):
        key, first, last = _named(named["key"]), named.start(), named.end()
        found[key] = Cell(key, named["value"], named.start("value"))
    cells = tuple(found.values())
    if not cells:
        return None
    marks = marks or _bracketed(line, first)
    bars = ()
    if bar:
        marks = (*(m for m in marks if m.key != "step"), _bar_mark(line, bar))
    alone = not marks and not any(metrics.step_rank(cell.key) is not None for cell in cells)
    if alone:
        bullet = len(cells) == 1 and _UNIT.match(line, last) and not _ACTOR.sub("", line[:first]).strip(" \t•*-–▶>#|")
        held_out = None if bullet else _HELD_OUT.search(line[:first])
        if not bullet and not held_out and not any(metrics.role_of(cell.key) != "aside" for cell in cells):
            return None
    elif not any(metrics.role_of(cell.key) != "aside" for cell in cells):
        spaced = _spaced(line, marks)
        cells = (*cells, *(c for c in spaced.cells if c.key not in found)) if spaced else cells
    cells = _of_evaluation(cells, line[:first])
    return Parsed("part" if alone else "row", cells, marks, bars, 0, "bar" if bar else "pairs", first)


def _of_evaluation(cells: tuple[Cell, ...], head: str) -> tuple[Cell, ...]:
    """Cells of a line that says that it is one of an evaluation, and of which."""
    if named := _EVALUATED.search(head):
        return tuple(Cell(f"eval/{named[1]}/{key}", raw, at) for key, raw, at in cells)
    if not _HELD_OUT.search(head) or "train" in head.lower():
        return cells
    return tuple(
        Cell(key if _HELD_OUT.search(key) or metrics.step_rank(key) is not None else f"eval/{key}", raw, at)
        for key, raw, at in cells
    )


def _columns(line: str) -> Parsed | None:
    """`key   value` alone on a line."""
    match = _COLUMNS.match(line)
    return Parsed("part", (Cell(match[1], match[2], match.start(2)),), syntax="block") if match else None


def _spaced(line: str, marks: tuple[Cell, ...]) -> Parsed | None:
    """`step 3 | reward 0.5 kl 0.1`: names and numbers with nothing between them, after a counter or with a score."""
    cells: dict[str, Cell] = {}
    if all_of := _OF_ALL.search(line):
        cells[all_of[4]] = Cell(all_of[4], f"{all_of[1]}/{all_of[3]}", all_of.start() if all_of[2] == "/" else -1)
    counted = {mark.key for mark in marks}
    for match in _SPACED.finditer(line):
        key = _named(match["key"].strip())
        if key.lower().replace(" ", "_") not in counted and _WORDS.get(key.lower()) not in counted:
            cells.setdefault(key, Cell(key, match["value"], match.start("value")))
    first = min((line.find(cell.key) for cell in cells.values()), default=0)
    marks = marks or _bracketed(line, first)
    alone = not marks and len(cells) < 2 and not _STAMP.fullmatch(line[:first])
    if alone or not any(metrics.role_of(key) != "aside" for key in cells):
        return None
    marks = _counters(line, marks)
    kind: Kind = "row" if marks else "part"
    return Parsed(kind, _of_evaluation(tuple(cells.values()), line[:first]), marks, syntax="pairs", head=first)


def _named(key: str) -> str:
    """A key without the words of the sentence before it (`INFO Reward`) that are no part of a name."""
    if "(" in key and ")" not in key:
        key = key.rpartition("(")[2]
    words = key.split(" ")
    ends = [i for i, word in enumerate(words[:-1]) if word.endswith(".") and word.lower() not in _ABBREVIATIONS]
    words = words[ends[-1] + 1 :] if ends else words
    while len(words) > 1 and (
        (words[0].isupper() and len(words[0]) > 3) or words[0].lower() in _FILLERS or NUMBERED.fullmatch(words[0])
    ):
        words.pop(0)
    return " ".join(words)


# --- counters -------------------------------------------------------------------------------------------------------


def marks_in(line: str) -> tuple[Cell, ...]:
    """Counters that a line names: `Epoch 1/5 Step 3/80` has epoch 1 and step 3."""
    found: dict[str, Cell] = {}
    for match in _MARK.finditer(line):
        word = match[1].lower().replace(" ", "_").replace("-", "_")
        word = _WORDS.get(word, word)
        found.setdefault(word, Cell(word, match[2], match.start(2)))
    if not found and (after := _MARK_AFTER.search(line)):
        return (Cell(_WORDS.get(after[2].lower(), after[2].lower()), after[1], after.start(1)),)
    heading = _HEADING.fullmatch(line)
    if not found and ((heading and "/" in heading[1]) or ("/" in line and _EVALUATED_PATH.search(line))):
        for match in NUMBERED.finditer(line):
            found["checkpoint"] = Cell("checkpoint", match[1], match.start(1))
    return tuple(found.values())


def _counters(line: str, marks: tuple[Cell, ...] | None = None) -> tuple[Cell, ...]:
    """The counters of a line with numbers: where it names none, `[3/80]` is one."""
    marks = marks_in(line) if marks is None else marks
    if any(mark.key != "epoch" for mark in marks) or _BAR.search(line):
        return marks
    after = max((mark.at + len(mark.raw) for mark in marks), default=0)
    inside = _WITHIN_EPOCH.search(line, after) if marks else None
    inside = inside or _OF_TOTAL.search(line, after)
    return (*marks, Cell("step", inside[1], inside.start(1))) if inside else marks


def _bracketed(line: str, first: int) -> tuple[Cell, ...]:
    """A number in brackets right before the cells."""
    match = _BRACKETED.search(line, 0, first)
    return (Cell("index", match[1], match.start(1)),) if match else ()


def _bars(text: str, offset: int) -> tuple[tuple[Cell, Cell], ...]:
    """Progress bars that have no description of their own."""
    return tuple(
        (Cell("now", m[1], m.start(1) + offset), Cell("total", m[2], m.start(2) + offset))
        for m in _BAR.finditer(text)
        if not (of := _DESCRIBED.search(text[: m.start()])) or (not of[2] and _TRAINING_BAR.search(of[1]))
    )


def _bar_mark(line: str, bar: re.Match[str]) -> Cell:
    """The counter of a progress bar that carries its own values; `Episode [2/3]` before it counts whole bars."""
    described = _COUNTS_BARS.search(line[: bar.start()])
    if described and described[2] != "1":
        return Cell("step", int(bar[1]) + int(bar[2]) * (int(described[2]) - 1), -1)
    return Cell("step", bar[1], bar.start(1))
