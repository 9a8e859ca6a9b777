"""Grade one program against one plan of tests, on the trusted side: start it, read what it sends, compare, give a
verdict."""

from __future__ import annotations

from typing import Any

from crestfall.grading.sandbox import calls, code, stdio
from crestfall.grading.sandbox.harness import compiled
from crestfall.grading.sandbox.outcome import Outcome
from crestfall.grading.sandbox.runner import Runner

SHORT = 2000  # characters


def syntax_error(source: str) -> str | None:
    """What is wrong with the syntax of a short program, without a process for it: most of what a collapsed policy
    writes does not parse. Compiling runs nothing; sources long enough to strain the parser are left to a process of
    their own. Raises MemoryError: a few hundred characters can compile to gigabytes."""
    if len(source) > SHORT:
        return None
    code = compiled(source)
    return code if isinstance(code, str) else None


class Judge(Runner):
    def grade(self, source: str, plan: dict[str, Any]) -> Outcome:
        """Raises ZygoteDied."""
        try:
            wrong = syntax_error(source)
        except MemoryError:
            return Outcome("memory_limit", "compiling it took more memory than a program may use")
        if wrong is not None:
            return Outcome("syntax_error", wrong)
        kinds = {"calls": calls.grade, "code": code.grade, "stdio": stdio.grade}
        return kinds[plan["kind"]](self, source, plan)
