"""Grades of a grading that was broken off: the same command goes on from them.

They stand beside the results (`R.jsonl.partial`) until those are written, one line a program, by a digest of program,
tests and limits. So a changed sample, problem or limit is graded anew, and everything else is not.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from crestfall.core.types import CaseGrade, Grade, Verdict
from crestfall.store.files import content, writing
from crestfall.store.jsonl import is_torn, lines_of, object_in


class KeptGrades:
    """Grades by key, in memory and, with a path, on the disk."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._grades: dict[str, Grade] = {}
        raw = b"" if path is None else content(path) or b""
        self._end = "\n" if is_torn(raw) else ""
        for line in lines_of(raw):
            # The last line may be torn, and another version may have written the first ones.
            if (data := object_in(line)) is not None:
                with suppress(KeyError, TypeError, ValueError):
                    self._grades[data["key"]] = _grade(data["grade"])
        self.found = len(self._grades)

    def __len__(self) -> int:
        return len(self._grades)

    def get(self, key: str) -> Grade | None:
        return self._grades.get(key)

    def add(self, grades: dict[str, Grade]) -> None:
        """Keep these. What could not be graded is not kept: it is tried again.

        Raises RunDirectoryError where the file cannot be written.
        """
        new = {k: g for k, g in grades.items() if k not in self._grades and g.verdict is not Verdict.INFRA}
        if self._path is not None and new:
            text = self._end + "".join(json.dumps({"key": k, "grade": asdict(g)}) + "\n" for k, g in new.items())
            self._end = "\n"  # until all of it is written
            with writing(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(text)
            self._end = ""
        self._grades.update(new)

    def discard(self) -> None:
        """The results are written."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _grade(data: dict[str, object]) -> Grade:
    tests = tuple(CaseGrade(**{**t, "verdict": Verdict(t["verdict"])}) for t in data.pop("tests"))  # type: ignore[attr-defined]
    return Grade(**{**data, "verdict": Verdict(data["verdict"]), "tests": tests})  # type: ignore[arg-type]
