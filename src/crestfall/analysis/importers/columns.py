"""Columns that are runs: `grpo_accuracy` and `ppo_accuracy`, `acc_seed0` and `acc_seed1`, `7B/acc` and `1.5B/acc`.

One run's columns differ in the same place (benchmarks, parts of a reward, training and evaluation), so a column is
another run's only if it is called after a method, a seed, a size or a setting, and the other run has the same ones. One
run may still have the rewards of two stages or judges (`sft_reward`, `ppo_reward`): a loss beside them that is nobody's
own, stages one after the other, and a line that never moves are of one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.numbers import ASIDE, counts
from crestfall.analysis.importers.runs import TIMES
from crestfall.core.signals import word_set, words_of

_METHOD = (
    r"(?:dr[. _-]?)?grpo|ppo|dpo|rloo|reinforce(?:\+\+|pp)?|dapo|gspo|remax|cispo|sft|rft|raft|a2c|trpo|vapo|kto|ipo|"
    r"orpo|simpo|opo|naive|vanilla|baseline|ours"
)
_SETTING = r"(?:lr|learning_rate|beta|temp|temperature|kl|clip|eps|epsilon|gamma|lambda|tau)\s*=\s*[\d.e+-]+"
_NUMBERED = r"(?:seed|run|trial|rep|replicate|fold|exp)(?:[ _=-]?\d{1,6}|[ _=-]?(?-i:[A-Z]))"
_NAMED = re.compile(rf"(?<![a-z\d])(?:{_METHOD}|{_SETTING}|{_NUMBERED}|\d+(?:\.\d+)?b)(?![a-z\d])", re.IGNORECASE)
_BARE = re.compile(r"(?:seed|run|trial|rep|replicate|fold)[ _-]?\w{1,12}", re.IGNORECASE)
_SUMMARY = word_set("mean avg average median std stdev sd var min max best worst diff delta gap")
_BETWEEN = re.compile(r" - |(?:[ _/:-]|\.(?!\d))+|\s*(?=\()")


def by_run(frame: Frame) -> Iterator[tuple[str, Frame, dict[str, str | None]]]:
    """(label, columns, {key in the file: its name in this run, None if it is another run's}) of each run. Columns that
    no run is named in are of every run. Where columns are not runs: one run with the label ""."""
    labels = _labels(list(frame.cells))
    if labels and _are_of_one_run(frame, labels):
        labels = {}
    for run in dict.fromkeys(label for label, _ in labels.values()) or [""]:
        own = {key: name if label == run else None for key, (label, name) in labels.items()}
        cells = {name: cell for key, cell in frame.cells.items() if (name := own.get(key, key)) is not None}
        yield run, Frame(frame.size, cells), own


def _labels(keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """{key: (label of its run, the key without it)} of all keys that are a run's own; empty: columns are not runs."""
    scored = [key for key in keys if metrics.role_of(key) != "aside" or _split(key) is not None]
    found = {key: split for key in scored if (split := _split(key)) is not None}
    if not scored:
        counted = [key for key in keys if metrics.step_rank(key) is not None]
        others = [key for key in keys if key not in counted and not set(words_of(key)) & TIMES]
        bare = [key for key in others if _NAMED.match(key) or _BARE.fullmatch(key)]
        found = {key: (key, "value") for key in bare} if len(bare) == len(others) or len(bare) > 2 else {}
    own: dict[str, set[str]] = {}
    for label, name in found.values():
        own.setdefault(label, set()).add(name)
    names = next(iter(own.values()), set())
    if len(own) < 2 or any(other != names for other in own.values()) or names & set(keys):
        return {}
    for key in keys:
        if key not in found and (rest := next((cut for cut in _cuts(key) if cut[0] in own and cut[1]), None)):
            found[key] = rest  # no score (`grpo_loss`)
    return found


def _are_of_one_run(frame: Frame, labels: Mapping[str, tuple[str, str]]) -> bool:
    """Whether labelled columns are metrics of one run after all, by what stands in them and beside them."""
    spans: dict[str, tuple[int, int]] = {}
    for key, (label, _) in labels.items():
        if (span := _moves(frame, key)) is not None:
            begin, end = spans.get(label, span)
            spans[label] = min(begin, span[0]), max(end, span[1])
    in_order = sorted(spans.values())
    if len(spans) < 2 or all(end < begin for (_, end), (begin, _) in pairwise(in_order)):
        return True  # a curve and lines to compare it with; one stage after the other
    names = {name for _, name in labels.values()}
    return len(names) == 1 and any(_is_measured(frame, key, *names) for key in frame.cells if key not in labels)


def _moves(frame: Frame, key: str) -> tuple[int, int] | None:
    """The first and the last row of a column's numbers; None where they are all the same, and not 0."""
    values_R, at_R = frame.floats(key)
    rows_R = np.asarray(frame.cells[key][0], dtype=np.int64)[at_R][np.isfinite(values_R)]
    level = np.unique(values_R[np.isfinite(values_R)])
    return (int(rows_R[0]), int(rows_R[-1])) if len(level) > 1 or 0 in level else None


def _is_measured(frame: Frame, key: str, name: str) -> bool:
    """Whether a column that is no run's own is of a training: no counter, no time, no summary of the runs' columns."""
    words = set(words_of(key))
    summary = set(words_of(name)) <= words or words & _SUMMARY
    aside = metrics.step_rank(key) is not None or words & TIMES or key.lower() in ASIDE
    return not summary and not aside and counts(key) is None and _moves(frame, key) is not None


def _split(key: str) -> tuple[str, str] | None:
    """The run's label at one end of a key, and the name of the score at the other, as long as that can be."""
    if not _NAMED.search(key) or metrics.step_rank(key) is not None:
        return None
    named = [(a, b) for a, b in _cuts(key) if _NAMED.search(a) and not _NAMED.search(b)]
    return max((cut for cut in named if metrics.role_of(cut[1]) != "aside"), key=lambda cut: len(cut[1]), default=None)


def _cuts(key: str) -> Iterator[tuple[str, str]]:
    """The two sides of each place where a key may be cut, in both orders."""
    for m in _BETWEEN.finditer(key):
        before, after = key[: m.start()].strip(), key[m.end() :].strip("() ")
        yield before, after
        yield after, before
