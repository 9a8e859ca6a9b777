"""`crestfall grade --problems P --audit`: what do these tests fail to see?"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crestfall.cli.grade_files import Files, some
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.audit import Audited, audit, summary_of
from crestfall.grading.problems.formats import left_out_line, stream_problems
from crestfall.grading.progress import progress_bar

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 20


def run(args: argparse.Namespace, limits: Limits, console: Console) -> dict[str, Any]:
    """Raises ConfigError, InputError: as grading does."""
    files = Files.of(args)
    left_out: list[str] = []
    with CodeGrader(replace(limits, every_test=True)) as grader, progress_bar(0, not args.json) as advance:
        audited = []
        for one in audit(grader, stream_problems(args.problems, left_out), args.mutants):
            audited.append(one)
            advance()
    result = summary_of(audited) | {"left_out": left_out}
    files.write([one.row() for one in audited])
    if not args.json:
        _show(audited, result, console)
    return result


def _show(audited: list[Audited], result: dict[str, Any], console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    for one in audited:
        if one.reference is not None and not one.reference.passed:
            say(f"{one.task_id}: the reference fails: {one.reference.verdict} {one.reference.detail}")
    weak = sorted((one for one in audited if one.passing), key=lambda one: -len(one.passing) / one.mutants)
    for one in weak[:SHOWN]:
        changes = "; ".join(f"line {m.line}: {m.change}" for m in one.passing[:3])
        say(f"{one.task_id}: {len(one.passing)} of {one.mutants} mutants pass ({changes})")
    fail, without = result["references_that_fail"], result["without_reference"]
    say(f"{len(fail)} of {result['problems'] - without} references fail" + (f" ({some(fail)})" if fail else ""))
    if without:
        say(f"{without} problems have no reference, and were not audited")
    if result["mutants"]:
        say(
            f"{result['passing_mutants']} of {result['mutants']} mutants pass, in {len(weak)} problems: "
            "wrong programs that would be rewarded, or ones that compute the same"
        )
    say(f"{result['tests_that_no_mutant_fails']} of {result['tests']} tests are failed by no mutant")
    if result["left_out"]:
        say(left_out_line(result["left_out"]))
