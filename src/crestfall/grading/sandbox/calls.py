"""Tests that are calls: the program gets the arguments and sends back values, which are compared here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crestfall.grading.sandbox import evalplus
from crestfall.grading.sandbox.compare import equal
from crestfall.grading.sandbox.decode import rebuild
from crestfall.grading.sandbox.outcome import Outcome, combined, fault, guarded, message_of, shown
from crestfall.grading.sandbox.program import Handle
from crestfall.grading.sandbox.runner import Runner

RESTARTS = 3  # in a row without an answer: what follows then fails as the last one did


def grade(runner: Runner, source: str, plan: dict[str, Any]) -> Outcome:
    """All calls in one process. Where the limit holds for each test, or every test counts, those that it did not get to
    are called in another one."""
    if plan["reference"] is not None and (failed := evalplus.expect(runner, plan)) is not None:
        return failed
    outcomes: list[Outcome] = []
    total, idle = len(plan["cases"]), 0
    while len(outcomes) < total:
        start = len(outcomes)
        last = _run(runner, source, plan, outcomes)
        answered = len(outcomes) > start
        if last is None:
            break
        if last.verdict == "time_limit" and last.final and plan["per_test"] and answered:
            continue  # its predecessors have used the time of the test that it was at
        outcomes.append(last)
        idle = 0 if answered else idle + 1
        if not runner.settings.every_test or last.verdict == "syntax_error":
            break
        if idle == RESTARTS:
            outcomes += [replace(last, cpu_seconds=0.0)] * (total - len(outcomes))
    return combined(outcomes, [_place(plan, index) for index in range(total)])


def _place(plan: dict[str, Any], index: int) -> str:
    """EvalPlus tells a benchmark's own tests, its base, from those that it added."""
    base = plan["base"]
    if base is None:
        return f"case {index + 1}"
    return f"base {index + 1}" if index < base else f"plus {index - base + 1}"


def _run(runner: Runner, source: str, plan: dict[str, Any], outcomes: list[Outcome]) -> Outcome | None:
    """Call what is left; append an outcome per answer. None when done, else what ended it, at the test after those."""
    start = len(outcomes)
    left = [(args, kwargs) for args, kwargs, *_ in plan["cases"][start:]]
    job = (
        "calls",
        source,
        plan["header"],
        plan["entry"],
        left,
        runner.settings.output_bytes,
        runner.settings.every_test,
        plan["compare"] != "evalplus",
    )
    with runner.program(job, plan) as program:
        verdict, detail = guarded(_compare, program, plan, outcomes, runner.settings.every_test)
        ended = runner.conclude(program, verdict, detail)
    if ended.verdict != "passed":
        return ended
    if len(outcomes) > start:  # time and output belong to the process: they stand with its last test
        outcomes[-1] = replace(outcomes[-1], cpu_seconds=ended.cpu_seconds, stdout=ended.stdout, stderr=ended.stderr)
    return None


def _compare(program: Handle, plan: dict[str, Any], outcomes: list[Outcome], every: bool) -> tuple[str, str]:
    """Verdict and detail; ("", place) when the program ended early, which its ending then explains."""
    for index in range(len(outcomes), len(plan["cases"])):
        place = _place(plan, index)
        message = message_of(program, place)
        if message is None:
            return "", place
        if message[0] == "x":
            verdict, detail = fault(message, place)
        else:
            given, *first = [rebuild(part, arrays=plan["compare"] == "evalplus") for part in message[1:3]]
            verdict, detail = _verdict(plan, index, given, first)
        if verdict != "passed" and not (every and verdict in ("wrong_answer", "runtime_error")):
            return verdict, detail
        outcomes.append(Outcome(verdict, detail))
    return "passed", ""


def _verdict(plan: dict[str, Any], index: int, given: Any, first: list[Any]) -> tuple[str, str]:
    """`first`: the first argument as the call left it, of a call that returned None."""
    args, _, *accepted = plan["cases"][index]
    results = [given]
    mutable = args and isinstance(args[0], (list, dict, set))  # else it is what it was
    if first and (plan["in_place"] or (plan["in_place"] is None and mutable and accepted[0] is not None)):
        results = first if plan["in_place"] else [given, *first]
    if plan["compare"] == "evalplus":
        right = evalplus.same(args, accepted[0], given, plan["tolerance"], plan["oracle"])
    else:
        right = any(equal(e, r, plan["compare"], plan["tolerance"]) for e in accepted for r in results)
    if right:
        return "passed", ""
    return "wrong_answer", f"{_place(plan, index)}: gave {shown(results[0])}, expected {shown(accepted[0])}"
