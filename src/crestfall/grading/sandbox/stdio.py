"""Tests of standard input and output: one run of the program per case, each with the limits of one program."""

from __future__ import annotations

import os
from typing import Any

from crestfall.grading.sandbox.compare import output_difference
from crestfall.grading.sandbox.outcome import Outcome, combined, fault, guarded, message_of
from crestfall.grading.sandbox.program import Handle
from crestfall.grading.sandbox.runner import Runner
from crestfall.grading.sandbox.special import judged


def grade(runner: Runner, source: str, plan: dict[str, Any]) -> Outcome:
    """The first failure ends it, unless every test counts."""
    outcomes: list[Outcome] = []
    for index, (stdin, *accepted) in enumerate(plan["cases"]):
        outcomes.append(_run(runner, source, plan, stdin, accepted, f"case {index + 1}"))
        verdict = outcomes[-1].verdict
        if verdict == "syntax_error" or (verdict != "passed" and not runner.settings.every_test):
            break
    return combined(outcomes, [f"case {index + 1}" for index in range(len(plan["cases"]))])


def _run(runner: Runner, source: str, plan: dict[str, Any], stdin: str, accepted: list[str], place: str) -> Outcome:
    job = ("main", source, plan["header"])
    with runner.program(job, plan, stdin.encode("utf-8", "surrogateescape")) as program:
        verdict, detail = guarded(_await_end, program, place)
        ending = program.finish()
        if not verdict and not ending.signal and ending.code == 0:
            verdict = "passed"  # it left by os._exit, which is its right here: its output decides
        outcome = runner.conclude(program, verdict, detail)
        if outcome.verdict != "passed":
            return outcome
        output = os.pread(program.streams[1], runner.settings.output_bytes, 0).decode("utf-8", "replace")
        if plan["checker"] is not None:
            verdict, detail = judged(runner, plan, stdin, accepted[0], output)
            return outcome if verdict == "passed" else runner.conclude(program, verdict, f"{place}: {detail}")
        differences = [output_difference(expected, output, plan["tolerance"]) for expected in accepted]
        if None in differences:
            return outcome
        return runner.conclude(program, "wrong_answer", f"{place}: {differences[0]}")


def _await_end(program: Handle, place: str) -> tuple[str, str]:
    message = message_of(program, place)
    if message is None:
        return "", place
    return ("passed", "") if message == ["v", None] else fault(message, place)
