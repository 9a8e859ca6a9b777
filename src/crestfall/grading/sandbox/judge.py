"""Grade one program against one plan of tests, on the trusted side: start it, read what it sends, compare, give a
verdict."""

from __future__ import annotations

import marshal
import warnings
from typing import Any

from crestfall.grading.sandbox import calls, code, stdio
from crestfall.grading.sandbox.harness import compiled
from crestfall.grading.sandbox.outcome import Outcome
from crestfall.grading.sandbox.runner import Runner

SHORT = 2000  # characters
MUCH = 1 << 16  # bytes of code


def check(source: str) -> tuple[str | None, bytes | None]:
    """Check the syntax of a short program without starting a process, since most programs of a collapsed policy do not
    parse. Returns (error, None), or (None, marshalled code), which spares the process a second compilation.

    Compiling runs nothing; sources long enough to strain the parser are left to a process of their own, and so are
    those that compile to much, or with warnings for the program's stderr. Raises MemoryError: a few hundred characters
    can compile to gigabytes.
    """
    if len(source) > SHORT:
        return None, None
    with warnings.catch_warnings(record=True) as told:
        code = compiled(source)
    if isinstance(code, str):
        return code, None
    try:
        ready = marshal.dumps(code)
    except ValueError:  # nested too deeply
        return None, None
    return None, None if told or len(ready) > MUCH else ready


class Judge(Runner):
    def grade(self, source: str, plan: dict[str, Any]) -> Outcome:
        """Raises ZygoteDied."""
        try:
            wrong, self.ready[source] = check(source)
        except MemoryError:
            return Outcome("memory_limit", "compiling it took more memory than a program may use")
        if wrong is not None:
            return Outcome("syntax_error", wrong)
        kinds = {"calls": calls.grade, "code": code.grade, "stdio": stdio.grade}
        try:
            return kinds[plan["kind"]](self, source, plan)
        finally:
            self.ready.clear()
