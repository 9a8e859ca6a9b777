"""Columns that are runs: `grpo_accuracy` and `ppo_accuracy`, `acc_seed0` and `acc_seed1`, `7B/acc` and `1.5B/acc`.

One run's columns differ in the same place (benchmarks, parts of a reward, training and evaluation), so a column is
another run's only if it is called after a method, a seed, a size or a setting, and the other run has the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.runs import TIMES
from crestfall.core.signals import words_of

_METHOD = (
    r"(?:dr[. _-]?)?grpo|ppo|dpo|rloo|reinforce(?:\+\+|pp)?|dapo|gspo|remax|cispo|sft|rft|raft|a2c|trpo|vapo|kto|ipo|"
    r"orpo|simpo|opo|naive|vanilla|baseline|ours"
)
_SETTING = r"(?:lr|learning_rate|beta|temp|temperature|kl|clip|eps|epsilon|gamma|lambda|tau)\s*=\s*[\d.e+-]+"
_NUMBERED = r"(?:seed|run|trial|rep|replicate|fold|exp)[ _=-]?\d{1,6}"
_NAMED = re.compile(rf"(?<![a-z\d])(?:{_METHOD}|{_SETTING}|{_NUMBERED}|\d+(?:\.\d+)?b)(?![a-z\d])", re.IGNORECASE)
_BARE = re.compile(r"(?:seed|run|trial|rep|replicate|fold)[ _-]?\w{1,12}", re.IGNORECASE)
_BETWEEN = re.compile(r" - |(?:[ _/:-]|\.(?!\d))+|\s*(?=\()")


def by_run(frame: Frame) -> Iterator[tuple[str, Frame]]:
    """(label, its columns and those that no run is named in) of each run; one, with the label "", where columns are
    not runs."""
    labels = _labels(list(frame.cells))
    for label in dict.fromkeys(label for label, _ in labels.values()) if labels else [""]:
        cells = {}
        for key, cell in frame.cells.items():
            of, name = labels.get(key, (label, key))
            if of == label:
                cells[name] = cell
        yield label, Frame(frame.size, cells)


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
