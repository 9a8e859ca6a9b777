"""What a problem's checker says of an output, as the judge reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from crestfall.grading.sandbox.decode import rebuild
from crestfall.grading.sandbox.outcome import fault, guarded, message_of
from crestfall.grading.sandbox.program import Handle
from crestfall.grading.sandbox.runner import Runner

_TRUE = ("1", "1.0", "true", "ok", "yes", "ac", "accept", "accepted", "correct", "passed", "right")


def judged(runner: Runner, plan: Mapping[str, Any], stdin: str, expected: str, output: str) -> tuple[str, str]:
    """Verdict and detail of what a program printed."""
    verdict, detail = _ask(runner, plan, stdin, expected, output)
    if verdict not in ("passed", "wrong_answer") and _ask(runner, plan, stdin, expected, expected)[0] != "passed":
        return "unsupported", f"the checker fails on the problem's own output too: {detail}"
    return ("passed", "") if verdict == "passed" else ("wrong_answer", f"the checker says: {detail}")


def _ask(runner: Runner, plan: Mapping[str, Any], stdin: str, expected: str, output: str) -> tuple[str, str]:
    with runner.program(("checker", plan["checker"], stdin, expected, output), {}) as program:
        answer: list[Any] = []
        verdict, detail = guarded(_listen, program, answer)
        outcome = runner.conclude(program, verdict, detail)
        printed = os.pread(program.streams[1], 10_000, 0).decode("utf-8", "replace")
    if outcome.verdict == "wrong_answer" and printed.strip():
        return outcome.verdict, " ".join(printed.split())[:100]
    if outcome.verdict != "passed":
        return outcome.verdict, outcome.detail
    if answer[0] is None:
        answer[0] = printed.split(maxsplit=1)[0] if printed.strip() else True  # silence and exit code 0: right
    return ("passed", "") if _accepts(answer[0]) else ("wrong_answer", " ".join(printed.split())[:100] or "no")


def _listen(program: Handle, answer: list[Any]) -> tuple[str, str]:
    message = message_of(program, "the checker")
    if message is None:
        return "", "the checker"
    if message[0] == "x":
        exited = message[1] == "exit"  # with a code: so testlib's checkers say no
        return ("wrong_answer", str(message[2])) if exited else fault(message, "the checker")
    answer.append(rebuild(message[1]))
    return "passed", ""


def _accepts(answer: Any) -> bool:
    """True, a score of 1 or more, a word for yes; of a tuple its first part."""
    if isinstance(answer, (tuple, list)) and answer:
        answer = answer[0]
    if isinstance(answer, (bool, int, float)):
        return answer >= 1
    return isinstance(answer, str) and answer.strip().rstrip(".!").lower() in _TRUE
