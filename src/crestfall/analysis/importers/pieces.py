"""One run that stands in several files: a file per process, one per job or rotation, one for training and evaluations.

What a file holds is left as it is; columns are put together, and `history.tidy` averages rows of one step and lets a
restart replace what was written before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import Column, History
from crestfall.analysis.importers.numbers import count_distinct
from crestfall.analysis.importers.text import unpacked_name

_VOICE = re.compile(
    r"(?<![A-Za-z])(?:local_?|global_?)?(?:rank|proc|process|worker|replica)[-_]?\d+|"
    r"(?:^|(?<=[/\\]))\d+(?=\.monitor(?:\.csv)?$)",
    re.IGNORECASE,
)
"""A process' name; stable-baselines3 calls its environments' files `3.monitor.csv`."""
_NUMBER = re.compile(r"[-_.]?\d+")
_SPLIT = re.compile(r"(?<![A-Za-z])(train|training|eval|evaluation|val|valid|validation|test|dev)(?![A-Za-z])", re.I)
_LABELS = {"train": "train", "trai": "train", "eval": "eval", "val": "val", "vali": "val", "test": "test", "dev": "dev"}
NEW_GROUND = 0.25
"""A file goes on with another one if it begins after that share of the other's steps, and ends later."""


def joined(histories: Sequence[History]) -> list[History]:
    """The runs, each once, in the order of their first files."""
    found = _together(histories, _voice, _averaged)
    found = _together(found, lambda h: (h.format, _unnumbered(h.source)), _continued)
    return _together(found, lambda h: (h.format, h.source.parent, _apart(h.name)[0]), _with_splits)


def _together(
    histories: Sequence[History],
    group: Callable[[History], Hashable],
    join: Callable[[list[History]], list[History]],
) -> list[History]:
    groups: dict[Hashable, list[History]] = {}
    for history in histories:
        groups.setdefault(group(history), []).append(history)
    return [h for some in groups.values() for h in (join(some) if len(some) > 1 else some)]


def _unnumbered(source: Path) -> Hashable:
    """The path without the numbers in its name and in that of its folder, which differ from job to job."""
    names = (source.parent.name, unpacked_name(source))
    return (source.parent.parent, *(_NUMBER.sub("", name) for name in names))


def _voice(history: History) -> Hashable:
    return (history.format, _VOICE.sub("", str(history.source)), _VOICE.sub("", history.name))


def _averaged(processes: list[History]) -> list[History]:
    if len({h.source for h in processes}) < len(processes):
        return processes  # several runs in each file
    name = _VOICE.sub("", processes[0].name).strip("-_. ") or _run_of(processes[0].source).name
    return [_joined(processes, name, f"{len(processes)} processes of one run: averaged", in_order=True)]


def _run_of(source: Path) -> Path:
    """The nearest folder that is not one of a process."""
    return next(p for p in source.parents if not _VOICE.search(p.name))


def _continued(histories: list[History]) -> list[History]:
    """Chains of files, each of which goes on where the one before it ended, or was taken up again from."""
    spans = sorted(((*_span(h), h) for h in histories), key=lambda span: span[:2])
    chains: list[list[tuple[int, int, History]]] = []
    for begins, ends, history in spans:
        before = [c for c in chains if _new_ground(*c[-1], begins, ends) and _alike(c[-1][2], history)]
        beside = [c for c in before if c[-1][2].source.parent == history.source.parent]
        if beside or len(before) == 1:  # in folders of their own, only where there is no doubt
            (beside or before)[0].append((begins, ends, history))
        else:
            chains.append([(begins, ends, history)])
    return [_chained([h for _, _, h in chain]) for chain in chains]


def _chained(files: list[History]) -> History:
    if len(files) == 1:
        return files[0]
    name = min(files, key=lambda h: (len(h.source.name), h.name)).name
    return _joined(files, name, f"{len(files)} files of one run, each goes on with the one before it")


def _span(history: History) -> tuple[int, int]:
    steps = [c.steps_R for c in history.columns.values()]
    return min((int(s.min()) for s in steps), default=0), max((int(s.max()) for s in steps), default=0)


def _new_ground(first: int, last: int, history: History, begins: int, ends: int) -> bool:
    if ends <= last or begins <= first + NEW_GROUND * (last - first):
        return False
    most = max(count_distinct(c.steps_R) for c in history.columns.values())
    return begins <= last + 2 * (last - first) / max(most - 1, 1)


def _alike(one: History, other: History) -> bool:
    apart = one.source != other.source and one.source.is_file()
    return apart and bool(one.columns.keys() & other.columns.keys())


def _apart(name: str) -> tuple[str, str]:
    """A name without the word for training or an evaluation, and that word."""
    matches = list(_SPLIT.finditer(name))
    if len(matches) != 1:
        return name, ""
    rest = name[: matches[0].start()] + name[matches[0].end() :]
    return re.sub(r"[-_. ]{2,}", "_", rest).strip("-_. "), _LABELS[matches[0][1].lower()[:4]]


def _with_splits(histories: list[History]) -> list[History]:
    labels = [_apart(h.name)[1] for h in histories]
    if "" in labels or len(set(labels)) < len(labels):
        return histories
    parts = []
    for history, label in zip(histories, labels, strict=True):

        def prefixed(key: str, label: str = label) -> str:
            return key if key.startswith(label) or metrics.role_of(key) == "evaluation" else f"{label}/{key}"

        columns = {prefixed(key): column for key, column in history.columns.items()}
        parts.append(History(history.name, history.source, history.format, columns, history.notes))
    first = histories[0]
    return [_joined(parts, _apart(first.name)[0] or first.source.parent.name, f"{' and '.join(labels)} of one run")]


def _joined(pieces: list[History], name: str, note: str, in_order: bool = False) -> History:
    """`in_order`: rows by step, where pieces stand side by side; without, one piece after the other."""
    out = History(
        name, pieces[0].source, pieces[0].format, notes=[*dict.fromkeys(n for p in pieces for n in p.notes), note]
    )
    for key in dict.fromkeys(key for piece in pieces for key in piece.columns):
        columns = [piece.columns[key] for piece in pieces if key in piece.columns]
        steps_R = np.concatenate([c.steps_R for c in columns])
        values_R = np.concatenate([c.values_R for c in columns])
        counts = [c.n_R for c in columns if c.n_R is not None]
        n_R = np.concatenate(counts) if len(counts) == len(columns) else None
        order_R = np.argsort(steps_R, kind="stable") if in_order else slice(None)
        out.columns[key] = Column(steps_R[order_R], values_R[order_R], None if n_R is None else n_R[order_R])
    for piece in pieces:
        for key, count in piece.not_finite.items():
            out.not_finite[key] = out.not_finite.get(key, 0) + count
    out.broken = dict(pieces[-1].broken)
    return out
