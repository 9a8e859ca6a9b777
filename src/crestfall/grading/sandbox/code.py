"""Tests that are code, beside the program: they run in the worker and see the program's objects from afar."""

from __future__ import annotations

from typing import Any

from crestfall.grading.sandbox.collect import Uncallable
from crestfall.grading.sandbox.decode import Malformed
from crestfall.grading.sandbox.outcome import Outcome, fault, guarded
from crestfall.grading.sandbox.program import Handle, Overflow, ZygoteDied
from crestfall.grading.sandbox.remote import Conversation, ProgramEnded, ProgramFault, Unsendable
from crestfall.grading.sandbox.runner import Runner
from crestfall.grading.sandbox.testcode import TestCode, Untested


def grade(runner: Runner, source: str, plan: dict[str, Any]) -> Outcome:
    if "compiled" not in plan:
        try:
            plan["compiled"] = TestCode(plan["code"], plan["entry"], plan["helpers"])
        except (SyntaxError, ValueError) as error:
            return Outcome("infra", f"the tests cannot be compiled: {error}")
    job = ("code", source, plan["header"], runner.settings.output_bytes)
    with runner.program(job, plan) as program:
        verdict, detail = guarded(_run_tests, program, plan["compiled"])
        return runner.conclude(program, verdict, detail)


def _run_tests(program: Handle, tests: TestCode) -> tuple[str, str]:
    conversation = Conversation(program, tests.mentions)
    try:
        conversation.opening()
        try:
            tests.run(conversation)
        except BaseException:
            if conversation.over is not None:  # whatever the tests made of it
                raise conversation.over from None
            raise
    except ProgramEnded:
        return "", f"call {conversation.calls}"
    except ProgramFault as error:
        return fault(["x", error.kind, str(error)], f"call {conversation.calls}")
    except Unsendable as error:
        return "infra", str(error)
    except Untested as error:
        return "wrong_answer", str(error)
    except Uncallable as error:
        return "unsupported", str(error)
    except (Overflow, Malformed, ZygoteDied):
        raise
    except BaseException as error:
        if not conversation.asked:
            return "unsupported", f"the tests fail before they ask for the program: {type(error).__name__}: {error}"
        return failed_test(error, conversation.calls)
    return "passed", ""


def failed_test(error: BaseException, calls: int) -> tuple[str, str]:
    """Verdict and detail of an exception that left the tests: the program's (it carries a note), or an assertion's."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, MemoryError):
        return "memory_limit", f"call {calls}: {text}"
    if getattr(error, "__notes__", None):
        return "runtime_error", f"call {calls}: {error.__notes__[0]}"
    return "wrong_answer", f"the test after call {calls} failed: {text}"
