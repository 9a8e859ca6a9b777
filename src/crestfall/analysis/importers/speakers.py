"""Source of each line where several runs, or several processes of one run, print into the same console log.

`[run A] step 3 ...` and `[run B] step 3 ...` are two runs, `[rank0]` and `[rank1]` two voices of one. What stands
before the numbers of a row says so, less what differs in every line (times, levels, counters).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.lines import Line
from crestfall.analysis.importers.runs import MOST_RUNS
from crestfall.core.signals import word_set

_NOISE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]?|\d\d-\d\d(?= )|\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?Z?|\d{8,}(?:\.\d+)?|"
    r"[\w./-]+\.py[:( ]*\d*\)?|\b(?:INFO|DEBUG|WARNING|SUCCESS|ERROR|info|debug)\b|"
    r"(?i:\b(?:train(?:ing)?[ _-]?)?(?:global[ _-]?)?"
    r"(?:step|iteration|iter|itr|rollout|update|epoch|episode|batch|round)\.?\s*[#:=]?\s*\[?\s*\d+(?:\s*/\s*\d+)?\]?)"
)
"""Text that differs between lines of one writer: dates, times, log levels, source locations, counters."""
_EDGES = " \t-|>:,;=•*→"
_NUMBERS = re.compile(r"\d+")
_PID = re.compile(r"\bpid=\d+(?:, ip=[\d.]+)?")
_VOICES = word_set(
    "rank worker default process proc gpu cuda node host local replica dp tp engine env thread device actor "
    "pass example micro minibatch"
)
_LETTERS = re.compile(r"[a-z]+")
FEWEST = 3


def by_speaker(rows: list[Line]) -> list[tuple[str, list[Line], str]]:
    """(label, rows, note) of each run. One, with the label "", unless the same score comes from several speakers who
    take turns."""
    one = [("", rows, "")]
    kind = _main_kind(rows)
    if kind is None:
        return one
    scored = [row for row in rows if row.keys == kind]
    if _steps_differ(scored, kind):
        return one
    labels: list[str] = []
    counts: Counter[str] = Counter()
    for row in scored:
        labels.append(_label(row.head))
        counts[labels[-1]] += 1
        if len(counts) > MOST_RUNS:
            return one  # numbers that differ in every line
    if len(counts) < 2 or min(counts.values()) < FEWEST or not _take_turns(labels):
        return one
    if _are_voices(list(counts)):
        return one
    own: dict[str, list[Line]] = {label: [] for label in counts}
    left_out = 0
    for row in rows:
        speaker = own.get(_label(row.head))
        if speaker is None:
            left_out += 1
        else:
            speaker.append(row)
    note = "runs separated by what stands before the numbers of a line"
    note += f"; {left_out} rows that are of no one of them: left out" if left_out else ""
    short = _shortened(list(own))
    return [(short[label], own_rows, note) for label, own_rows in own.items()]


def _main_kind(rows: Sequence[Line]) -> tuple[str, ...] | None:
    """The keys of most of the rows with the score that stands in most rows: speakers say the same things."""
    kinds = Counter(row.keys for row in rows)
    counts: Counter[str] = Counter()
    for keys, count in kinds.items():
        counts.update({key: count for key in keys if metrics.role_of(key) != "aside"})
    score = counts.most_common(1)[0][0] if counts else None
    return next((keys for keys, _ in kinds.most_common() if score in keys), None)


def _steps_differ(rows: Sequence[Line], kind: tuple[str, ...]) -> bool:
    """Whether no two rows, all of one kind, are of one step: one speaker."""
    ranks = [(rank, at) for at, key in enumerate(kind) if (rank := metrics.step_rank(key)) is not None]
    ranks = [(rank, at) for rank, at in ranks if not metrics.counts_weakly(kind[at])]
    if not ranks:
        return False
    at = min(ranks)[1]
    return len({row.values[at] for row in rows}) == len(rows)


@lru_cache(maxsize=4096)
def _label(head: str) -> str:
    return " ".join(_NOISE.sub(" ", head).split()).strip(_EDGES)


def _take_turns(labels: Sequence[str]) -> bool:
    """Whether the writers alternate more often than a restart explains."""
    changes = sum(a != b for a, b in pairwise(labels))
    return changes > 2 * len(set(labels))


def _are_voices(labels: Sequence[str]) -> bool:
    """Whether the labels name processes of one run: `rank 0`, `[default3]`, `(WorkerDict pid=7)`."""
    bare = {_NUMBERS.sub("", _PID.sub("", label)) for label in labels}
    if len(bare) > 1:
        return False
    if not any(map(str.isalpha, "".join(bare))):
        return True  # srun's `0: `
    words = _LETTERS.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare.pop()).lower())
    return bool(_VOICES & set(words)) and "runner" not in words


def _shortened(labels: Sequence[str]) -> dict[str, str]:
    """Labels without the brackets around all of them."""
    for left, right in ("[]", "()", "{}"):
        if all(label.startswith(left) and label.endswith(right) for label in labels):
            return {label: label[1:-1].strip() for label in labels}
    return {label: label for label in labels}
