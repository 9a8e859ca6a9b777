"""Read the answer of a problem's own checker about an output, on the judge's side."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from crestfall.grading.sandbox.decode import rebuild
from crestfall.grading.sandbox.outcome import fault, guarded, message_of
from crestfall.grading.sandbox.program import Handle
from crestfall.grading.sandbox.runner import Runner

_YES = ("true", "ok", "yes", "ac", "accept", "accepted", "correct", "pass", "passed", "right")
_NO = ("false", "no", "wa", "wrong", "reject", "rejected", "incorrect", "fail", "failed", "wrong_answer", "pe", "bad")
_KEYS = ("passed", "correct", "accepted", "ok", "is_correct", "score", "verdict", "result", "status")
_KATTIS_YES = "SystemExit: 42"


def judged(runner: Runner, plan: dict[str, Any], stdin: str, expected: str, output: str) -> tuple[str, str]:
    """Verdict and detail of what a program printed."""
    verdict, detail = _ask(runner, plan, stdin, expected, output)
    if verdict == "passed":
        return "passed", ""
    if fault := _fault(runner, plan, stdin, expected):
        return "unsupported", f"the checker does not judge the problem's own output either: {fault}"
    return "wrong_answer", f"the checker says: {detail}"


def _fault(runner: Runner, plan: dict[str, Any], stdin: str, expected: str) -> str:
    """What is wrong with a checker that fails on the problem's own output; where there is none, nothing is known."""
    known = plan.setdefault("faults", {})
    if (stdin, expected) not in known:
        verdict, detail = _ask(runner, plan, stdin, expected, expected) if expected.strip() else ("", "")
        known[stdin, expected] = "" if verdict in ("", "passed", "wrong_answer") else detail
    return str(known[stdin, expected])


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
        answer[0] = printed.strip() or True  # silence and exit code 0: right
    accepts = _accepts(answer[0])
    said = " ".join(printed.split())[:100] or str(answer[0])[:100]
    return {True: "passed", False: "wrong_answer", None: "unclear"}[accepts], said


def _listen(program: Handle, answer: list[Any]) -> tuple[str, str]:
    message = message_of(program, "the checker")
    if message is None:
        return "", "the checker"
    if message[0] == "x" and message[1:] != ["exit", _KATTIS_YES]:
        exited = message[1] == "exit"  # with a code: so testlib's checkers say no
        return ("wrong_answer", str(message[2])) if exited else fault(message, "the checker")
    answer.append(rebuild(message[1]) if message[0] == "v" else True)
    return "passed", ""


def _accepts(answer: Any) -> bool | None:
    """True, a score of 1 (or 100), a word for yes; of a tuple, an object or a text the part that says it. None: it says
    neither yes nor no."""
    if isinstance(answer, (tuple, list)) and answer:
        answer = answer[0]
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except ValueError:
            answer = answer.split(maxsplit=1)[0] if answer.strip() else ""
    if isinstance(answer, dict):
        return next((_accepts(answer[key]) for key in _KEYS if key in answer), None)
    word = str(answer).strip("\"'.,:;!").lower()
    if word in _YES + _NO:
        return word in _YES
    try:
        score = float(word)
    except ValueError:
        return None
    return True if score in (1, 100) else False if score < 1 else None
