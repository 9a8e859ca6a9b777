"""What verl prints: `(TaskRunner pid=N) step:71 - critic/score/mean:0.63 - actor/lr:np.float64(1e-06) - ...`."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.text import lines_of, read_text
from crestfall.core.registry import register

_STEP = re.compile(r"(?:^|[\s)])step:(\d+) - (.+)")
_WRAPPED = re.compile(r"^(?:np\.)?\w+\((.+)\)$")


@register("importer", "verl_console")
@dataclass(frozen=True)
class VerlConsole:
    """verl's console output, with or without Ray's prefix."""

    def claims(self, path: Path, head: bytes) -> bool:
        return next(_rows(head.decode("utf-8", errors="replace")), None) is not None

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        history = History(path.stem, path, "verl console log")
        for step, row in _rows(read_text(path)):
            history.add(step, row)
        return [history]


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line in lines_of(text):
        match = _STEP.search(line)
        if match:
            pairs = (part.rpartition(":") for part in match[2].split(" - "))
            yield int(match[1]), {key.strip(): _WRAPPED.sub(r"\1", value.strip()) for key, _, value in pairs if key}
