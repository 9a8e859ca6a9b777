"""An evaluation's JSON per checkpoint (lm-eval, evalplus, scripts of one's own): the step is in a file's or directory's
name, as in `evals/step_100.json` and `checkpoint-100/results.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import HEAD_BYTES, History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import COUNTS, About, histories_or_error
from crestfall.analysis.importers.text import content, flat, suffix_of
from crestfall.core.errors import InputError
from crestfall.core.registry import register

_NUMBERED = re.compile(r"(?:^|[_.-])(?:global_?step|step|checkpoint|ckpt|iteration|iter|epoch)[_-]?(\d+)(?=\D|$)", re.I)
_DIGITS = re.compile(r"\d+")
_SETTINGS = re.compile(r"config|tokenizer|args|params|vocab|special_tokens|trainer_state|index", re.IGNORECASE)


@register("importer", "checkpoints")
@dataclass(frozen=True)
class Checkpoints:
    """A JSON of scores per checkpoint, the step in its name or its directory's."""

    order: ClassVar[int] = 3

    def claims(self, path: Path, head: bytes) -> bool:
        if suffix_of(path) != ".json" or len(head) >= HEAD_BYTES or _SETTINGS.search(path.name) or _place(path) is None:
            return False
        try:
            return bool(_scores(json.loads(head)))
        except (ValueError, RecursionError):
            return False

    def group(self, path: Path) -> Hashable:
        place = _place(path)
        assert place is not None
        return place[1:]

    def read(self, paths: Sequence[Path]) -> list[History]:
        places = sorted((place, path) for path in paths if (place := _place(path)) is not None)
        rows = []
        for (step, _, _), path in places:
            try:
                rows.append({"step": step, **_scores(json.loads(content(path)))})
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}: not JSON: {error}") from None
        root = places[0][0][1]
        notes = (f"{len(rows)} files, the step in their names",)
        about = About(root.name, paths[0] if len(paths) == 1 else root, "JSON per checkpoint", notes=notes)
        return histories_or_error(Frame.of(rows), about, "scores")


def _place(path: Path) -> tuple[int, Path, str] | None:
    """The step, the directory of the run, and the rest of the name."""
    for part in (path, *list(path.parents)[:3]):
        if match := _NUMBERED.search(part.name if part is not path else part.stem):
            rest = "" if part is path else path.relative_to(part).as_posix()
            return int(match[1]), part.parent, _DIGITS.sub("", f"{part.name}/{rest}")
    return None


def _scores(data: Any) -> dict[str, Any]:
    """The numbers of an object that are scores, and their number of samples; empty: it is something else."""
    if not isinstance(data, dict):
        return {}
    numbers = {k: v for k, v in flat(data) if isinstance(v, int | float) and not isinstance(v, bool)}
    found = {k: v for k, v in numbers.items() if metrics.role_of(k) != "aside"}
    return found | {k: v for k, v in numbers.items() if found and k.lower() in COUNTS}
