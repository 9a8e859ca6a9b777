"""A model's text becomes a program: the one way for policies, rewards, evaluations and `crestfall grade`.

A text may go on where the problem's stub ends (a base model's completion), or be an answer with the program in it.
Which of the two it is follows from what parses, so that no caller has to know what kind of model wrote it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from crestfall.core.types import CallTests, CodeTests, Problem
from crestfall.grading.answers import answer_of
from crestfall.grading.extract import find_code
from crestfall.grading.source import Checker, names_used

_FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[^\n]*\n?", re.M)
_CODE = re.compile(r"\W*(?:def|class|import|from|return|for|while|if|try|with|print)\b")


def program_of(problem: Problem, text: str) -> str:
    """The program that is graded, `problem.stub` included; the empty string where the text has no code.

    A continuation stands behind the stub as it is; if it does not parse there, with its indentation put right. A
    program of its own stands behind the stub's imports and helpers.
    """
    # A program is text that can stand in a file; half of a character cannot.
    answer = answer_of(text.encode("utf-8", "replace").decode())
    if not answer.strip():
        return ""
    check = Checker(len(answer) + len(problem.stub))
    whole = joined(problem.stub, answer, check)
    if whole is not None and not (_ends_a_line(problem.stub) and check.prosaic(whole)):
        return whole
    code = find_code(answer, wanted_names(problem), check, lambda body: joined(problem.stub, body, check) is not None)
    if code.strip():
        return joined(problem.stub, code, check) or behind(problem.stub, code, check)
    # Code that is broken, not prose: it is for Python to say what is wrong with it.
    broken = (problem.stub and answer[:1].isspace()) or _CODE.match(answer)
    return problem.stub + answer if broken else ""


def wanted_names(problem: Problem) -> frozenset[str]:
    """The names by which the tests' program is known among an answer's blocks: `add`; of a method of a fresh object,
    `Solution().add`, the class's too. None if it reads standard input."""
    tests = problem.tests
    if not isinstance(tests, (CallTests, CodeTests)):
        return frozenset()
    if tests.entry_point is not None:
        return frozenset(re.findall(r"[^\W\d]\w*", tests.entry_point))
    return names_used(tests.code) if isinstance(tests, CodeTests) else frozenset()


def cut(text: str, stop: Sequence[str]) -> str:
    """`text` before the first occurrence of any of the stop strings."""
    ends = [at for at in (text.find(word) for word in stop if word) if at >= 0]
    return text[: min(ends)] if ends else text


def joined(stub: str, code: str, check: Checker) -> str | None:
    """The program that a stub and the code behind it make; None where nothing that parses comes of them."""
    if not code.strip():
        return None
    if _ends_a_line(stub) and check.idle(textwrap.dedent(code)):
        return None
    if not stub:
        return code if check.code(code) else None
    future = _FUTURE.search(code)
    if check.valid(stub + code) and not future:
        return stub + code
    if check.code(code):
        return behind(stub, code, check)
    indented = (stub.rstrip(" \t\n") + "\n" + body for body in _bodies(stub, code))
    return next((program for program in indented if check.valid(program)), None)


def _ends_a_line(stub: str) -> bool:
    """Not so where the stub ends in `return ` and the code is `x + 1`."""
    return not stub.rpartition("\n")[2].strip()


def behind(stub: str, code: str, check: Checker) -> str:
    """A program of its own behind as much of the stub as can stand before it."""
    future = "".join(_FUTURE.findall(code))
    if future:  # which has to come first
        future, code = future.rstrip("\n") + "\n", _FUTURE.sub("", code)
    if not stub:
        return future + code
    for head in (stub.rstrip() + "\n", _before_last_definition(stub)):
        if check.valid(head) and check.valid(head + code):
            return future + head + code
    return future + stub.rstrip() + "\n" + code


def _before_last_definition(stub: str) -> str:
    """A stub's imports and helpers: all before the definition that it leaves open."""
    lines = stub.split("\n")
    starts = [i for i, line in enumerate(lines) if re.match(r"(?:async def|def|class|@)\b|@", line)]
    if not starts:
        return ""
    last = starts[-1]
    while last and lines[last - 1].startswith("@"):
        last -= 1
    return "".join(line + "\n" for line in lines[:last])


def _bodies(stub: str, code: str) -> list[str]:
    """A function's body at the indentation that the stub asks for: tokenizers and `strip` eat spaces at its beginning,
    the first line's alone or every line's."""
    last = next((line for line in reversed(stub.split("\n")) if line.strip()), "")
    margin = last[: len(last) - len(last.lstrip())] + ("    " if last.rstrip().endswith(":") else "")
    lines = code.strip("\n").split("\n")
    first, rest = lines[0].lstrip(" \t"), "\n".join(lines[1:])
    dedented = [textwrap.dedent("\n".join(lines)), f"{first}\n{textwrap.dedent(rest)}"]
    return [textwrap.indent(body, margin) for body in dedented]
