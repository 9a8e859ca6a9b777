"""Tests that are code: beside the program, where they see its objects from afar, or inside its process, where the tests
handle its objects."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from crestfall.grading.sandbox.assertions import Assertions, Unsupported
from crestfall.grading.sandbox.decode import Malformed, parse
from crestfall.grading.sandbox.handover import ProgramFault, Unsendable
from crestfall.grading.sandbox.harness import described
from crestfall.grading.sandbox.outcome import Outcome, fault, guarded, message_of
from crestfall.grading.sandbox.program import Handle, Overflow, Unstarted, ZygoteDied
from crestfall.grading.sandbox.remote import Conversation, ProgramEnded
from crestfall.grading.sandbox.runner import Runner
from crestfall.grading.sandbox.testcode import TestCode, Untested

VERDICTS = ("passed", "wrong_answer", "runtime_error", "memory_limit", "violation", "unsupported")
Tests = list[tuple[str, str, str]]


def grade(runner: Runner, source: str, plan: dict[str, Any]) -> Outcome:
    if "tests" not in plan:
        plan["tests"] = TestCode(plan["code"], plan["entry"], plan["helpers"], runner.settings.every_test)
    outcome = _run(runner, source, plan)
    if not _refused(outcome) or _fail_by_themselves(runner, plan):
        return outcome
    tests = [(name, *_blamed(verdict, detail)) for name, verdict, detail in outcome.tests]
    verdict, detail = _blamed(outcome.verdict, outcome.detail)
    return replace(outcome, verdict=verdict, detail=detail, tests=tuple(tests))


def _run(runner: Runner, source: str, plan: dict[str, Any]) -> Outcome:
    results: Tests = []
    kind, run, last = ("code", _run_beside, runner.settings.output_bytes)
    if plan["isolation"] == "inside":
        kind, run, last = ("inside", _run_inside, plan["tests"].every)
    with runner.program((kind, source, plan["header"], last), plan) as program:
        ending = guarded(run, program, plan, results)
        return _with_tests(runner.conclude(program, *ending), results)


def _refused(outcome: Outcome) -> bool:
    return "unsupported" in (outcome.verdict, *(verdict for _, verdict, _ in outcome.tests))


def _fail_by_themselves(runner: Runner, plan: dict[str, Any]) -> bool:
    """Whether these tests are unsupported with a right program, or before they use any. No program decides that."""
    if "refused" not in plan:
        programs = [plan["reference"], plan["tests"].stand_in]
        plan["refused"] = any(_refused(_run(runner, source, plan)) for source in programs if source)
    return bool(plan["refused"])


def _blamed(verdict: str, detail: str) -> tuple[str, str]:
    if verdict == "unsupported":
        return "wrong_answer", f"the tests stop at this program: {detail}"
    return verdict, detail


def _with_tests(outcome: Outcome, tests: Tests) -> Outcome:
    """Each test with its verdict; one more where something else than a test ended it."""
    if outcome.verdict != "passed" and all(verdict == "passed" for _, verdict, _ in tests):
        tests.append(("the rest", outcome.verdict, outcome.detail))
    return replace(outcome, tests=tuple(tests), total=len(tests))


# --- beside the program


def _run_beside(program: Handle, plan: dict[str, Any], tests: Tests) -> tuple[str, str]:
    code: TestCode = plan["tests"]
    conversation, log = Conversation(program, code.mentions), Assertions(code.every)
    error: BaseException | None = None
    try:
        conversation.opening()
        code.run(conversation, log)
    except BaseException as failure:
        error = failure
    error = conversation.over or error  # whatever the tests made of it
    failures = [(name, *_failure(failed, conversation)) for name, failed in log.results if failed is not None]
    tests += [(name, "passed", "") for name, failed in log.results if failed is None] + failures
    if error is not None:
        return _failure(error, conversation)
    return failures[0][1:] if failures else ("passed", "")


def _failure(error: BaseException, conversation: Conversation) -> tuple[str, str]:
    """Verdict and detail of what ended the tests: the program, an assertion, or the tests' own fault. Raises what is
    for the caller."""
    place = f"call {conversation.calls}"
    if isinstance(error, (Overflow, Malformed, ZygoteDied, Unstarted)):
        raise error
    if isinstance(error, ProgramEnded):
        return "", place
    if isinstance(error, ProgramFault):
        return fault(["x", error.kind, str(error)], place)
    if isinstance(error, (Unsendable, Unsupported)):
        return "unsupported", str(error)
    if isinstance(error, Untested):
        return "wrong_answer", str(error)
    text = described(error)
    if isinstance(error, MemoryError):
        return "memory_limit", f"{place}: {text}"
    if getattr(error, "__notes__", None):
        return "runtime_error", f"{place}: {error.__notes__[0]}"
    if not conversation.asked:
        return "unsupported", f"the tests fail before they ask for the program: {text}"
    return "wrong_answer", f"the test after {place} failed: {text}"


# --- inside its process


def _run_inside(program: Handle, plan: dict[str, Any], tests: Tests) -> tuple[str, str]:
    loaded = message_of(program, "the program")
    if loaded != ["v", None]:
        return ("", "the program") if loaded is None else fault(loaded, "the program")
    code, nonce = plan["tests"], os.urandom(16).hex()
    program.send((code.code, code.collected, plan["entry"], code.modules, nonce))
    line = program.line(patient=True)
    if line is None:
        return "", "during the tests"
    return _report(parse(line), code, nonce, tests)


def _report(message: Any, code: TestCode, nonce: str, tests: Tests) -> tuple[str, str]:
    """Verdict and detail from the report of a program's process, checked for consistency. Raises Malformed."""
    if not isinstance(message, list) or len(message) != 6 or message[:2] != ["t", nonce]:
        raise Malformed("no report of the tests")
    _, _, checks, results, kind, text = message
    if type(checks) is not int or kind not in VERDICTS or not isinstance(text, str) or not isinstance(results, list):
        raise Malformed("a broken report of the tests")
    for result in results:
        if not isinstance(result, list) or len(result) != 3 or not all(isinstance(part, str) for part in result):
            raise Malformed("a broken report of a test")
        if result[1] not in VERDICTS:
            raise Malformed("a test without a verdict")
        tests.append((result[0], result[1], result[2]))
    failed = next(((verdict, detail) for _, verdict, detail in tests if verdict != "passed"), None)
    if kind != "passed" or failed is not None:
        return failed if kind == "passed" and failed is not None else (kind, text)
    if checks < code.least:
        raise Malformed(f"a report of {checks} assertions, where there are {code.least} or more")
    for label in code.labels:
        if not any(name.startswith(label) for name, _, _ in tests):
            raise Malformed(f"a report without the test {label}")
    return "passed", ""
