"""Keeping a trainer's own checkpoints from its own clean-up, for state that a guard cannot capture.

`<directory>/kept/step-40/checkpoint-40/` holds hard links to the files of the checkpoint of step 40, which keeps its
own name because trainers read the step from it: they take no room on the disk as long as the trainer keeps its own, and
stay when the trainer deletes them. On another file system they are copies.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from crestfall.core.errors import ConfigError
from crestfall.store.files import writing


class Protected:
    """`pattern`: where the trainer saves, with `{step}` in it: "out/checkpoint-{step}"."""

    def __init__(self, root: Path, pattern: str) -> None:
        if "{step}" not in pattern:
            raise ConfigError(
                f"checkpoints: expected a path with {{step}} in it, as in 'out/checkpoint-{{step}}'; found {pattern!r}"
            )
        self._root, self._pattern = root, pattern

    def keep(self, steps: Collection[int]) -> None:
        """Protect the checkpoints of these steps, as far as they are there by now, and let go of all others.

        A checkpoint that is still being written is completed the next time. Raises RunDirectoryError where it cannot be
        written; nothing is let go of then.
        """
        with writing(self._root):
            for step in steps:
                source = Path(self._pattern.format(step=step))
                if source.exists():
                    _link(source, self._kept(step))
            for step in self.steps - frozenset(steps):
                shutil.rmtree(self._kept(step).parent, ignore_errors=True)

    @property
    def steps(self) -> frozenset[int]:
        found = self._root.glob("step-*")
        return frozenset(int(path.name[5:]) for path in found if path.name[5:].isdigit())

    def path(self, step: int) -> Path | None:
        """The checkpoint of a step: the trainer's own where it is still there, else the protected one."""
        for path in (Path(self._pattern.format(step=step)), self._kept(step)):
            if path.exists():
                return path
        return None

    def _kept(self, step: int) -> Path:
        return self._root / f"step-{step}" / Path(self._pattern.format(step=step)).name


def _link(source: Path, target: Path) -> None:
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    for file in files:
        name = target if source.is_file() else target / file.relative_to(source)
        if name.exists() and (name.samefile(file) or name.stat().st_size == file.stat().st_size):
            continue
        name.parent.mkdir(parents=True, exist_ok=True)
        name.unlink(missing_ok=True)
        try:
            os.link(file, name)
        except OSError:
            shutil.copy2(file, name)
