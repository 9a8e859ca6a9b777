"""Paths that are still being written, read through the importers again whenever something about them has changed."""

from __future__ import annotations

import glob
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crestfall.analysis.importers.load import load
from crestfall.analysis.importers.text import SETTLED, growing
from crestfall.analysis.importers.wandb_online import SCHEME
from crestfall.analysis.trajectory import Trajectory
from crestfall.core.errors import CrestfallWarning, InputError

ONLINE_EVERY = 60.0
"""Seconds between two questions to a server."""

Signature = tuple[tuple[str, int, int, int, bool], ...]
"""Per file: name, bytes, time of the last change, inode, and whether it has been left alone for a minute."""


@dataclass
class Followed:
    """One path. `runs` are those of the last reading that succeeded; `waiting` says why there is no newer one, and
    `refused` that what stands there is no log, or not yet."""

    path: str
    runs: list[Trajectory] = field(default_factory=list)
    waiting: str = ""
    refused: bool = False
    seen: Signature | None = None


class Follower:
    """`look` reads what has changed. A path need not exist yet: a log, a folder and a shell pattern may come later."""

    def __init__(
        self,
        paths: Sequence[str],
        metrics: Sequence[str] | None = None,
        samples: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.followed = [Followed(path) for path in paths]
        self._metrics, self._samples, self._clock = metrics, samples, clock

    def look(self) -> bool:
        """Read again what has changed; is there anything new?"""
        news = [self._look(one) for one in self.followed]
        return any(news)

    def settled(self, run: Trajectory) -> bool:
        """Whether nobody has written to a run's file in the last minute."""
        return all(at[-1] for at in signature(str(run.source), self._clock()))

    def quiet(self, run: Trajectory) -> float | None:
        """Seconds since a run's files were last written to; None where there are none."""
        latest = max((at[2] for at in signature(str(run.source), self._clock())), default=None)
        return None if latest is None else max(0.0, self._clock() - latest / 1e9)

    def _look(self, one: Followed) -> bool:
        now = signature(one.path, self._clock())
        if now == one.seen:
            return False
        one.seen = now
        before = one.waiting
        try:
            if not now:
                raise _Nothing("nothing there yet")
            with growing(), warnings.catch_warnings():
                warnings.simplefilter("ignore", CrestfallWarning)
                one.runs = load([one.path], self._metrics, self._samples)
            one.waiting, one.refused = "", False
            return True
        except (InputError, OSError) as error:  # half written, just rotated away, or no log at all
            one.waiting = str(error)
            one.refused = not isinstance(error, _Nothing) and any(size for _, size, *_ in now)
            return one.waiting != before


class _Nothing(InputError):
    """Raised where a path has no file yet."""


def signature(path: str, now: float) -> Signature:
    """Signature of all files of a path or a shell pattern; () if there are none."""
    if path.startswith(SCHEME):
        return ((path, 1, int(now // ONLINE_EVERY), 0, True),)
    found = [path] if Path(path).exists() else sorted(glob.glob(path))
    return tuple(line for one in found for line in _signatures(Path(one), now))


def _signatures(path: Path, now: float) -> Iterator[tuple[str, int, int, int, bool]]:
    if not path.is_dir():
        files = [path]
    else:
        files = [Path(root) / name for root, _, names in sorted(os.walk(path)) for name in sorted(names)]
    for file in files:
        try:
            at = file.stat()
        except OSError:
            continue  # deleted between the listing and now
        yield str(file), at.st_size, at.st_mtime_ns, at.st_ino, now - at.st_mtime >= SETTLED
