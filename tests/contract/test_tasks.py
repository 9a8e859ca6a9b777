"""What every registered task source promises: sets that never meet, the same again, the final set for everybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crestfall.core.build import component, options, plain
from crestfall.core.registry import components
from crestfall.core.types import Problem
from crestfall.testbed.tasks.base import Conventions, Sizes

SIZES = Sizes(train=6, select=3, report=3)
SOURCES = {name: cls for name, cls in components("tasks").items() if cls.__module__.startswith("crestfall.")}


def row(source: str, n: int) -> dict[str, Any]:
    """Problem `n` in a benchmark's own format."""
    code, test = f"def f{n}(x):\n    return x + {n}", f"assert f{n}(1) == {n + 1}"
    match source:
        case "humaneval":
            check = f"def check(candidate):\n    assert candidate(1) == {n + 1}\n"
            stub = f'def f{n}(x):\n    """Add {n}."""\n'
            return {"task_id": n, "prompt": stub, "entry_point": f"f{n}", "test": check, "canonical_solution": "    1"}
        case "mbpp":
            return {"task_id": n, "text": f"Add {n}.", "code": code, "test_list": [test]}
        case "apps":
            tests = json.dumps({"inputs": [f"{n}\n"], "outputs": [f"{n}\n"]})
            return {"problem_id": n, "question": f"Print {n}.", "input_output": tests}
        case "livecodebench":
            tests = json.dumps([{"input": f"{n}", "output": f"{n}", "testtype": "stdin"}])
            return {"question_id": str(n), "question_content": f"Print {n}.", "public_test_cases": tests}
        case "jsonl":
            return {"task_id": n, "prompt": f"Add {n}.", "entry_point": "f", "tests": [[[1], n + 1]]}
    raise AssertionError(f"give the new source {source!r} rows here")


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    config: dict[str, Any] = {"name": request.param}
    if any(option.name == "path" for option in options(SOURCES[request.param])):
        file = tmp_path / "problems.jsonl"
        file.write_text("".join(json.dumps(row(request.param, n)) + "\n" for n in range(200)))
        config["path"] = str(file)
    return component("tasks", config)


def keys(*sets: Any) -> list[str]:
    return [problem.key for some in sets for problem in some]


def test_no_two_sets_of_a_seed_share_a_problem(source: Any) -> None:
    source.check(3, SIZES, 8)
    sets = [source.campaign(4, number, SIZES) for number in range(3)]
    drawn = keys(*(some for c in sets for some in (c.train, c.select, c.report)), source.final(8))
    assert len(drawn) == 3 * 12 + 8 == len(set(drawn))
    assert [len(c.train) for c in sets] == [6] * 3


def test_one_seed_s_train_is_never_another_seed_s_report_or_anybody_s_final(source: Any) -> None:
    sets = [source.campaign(seed, 0, SIZES) for seed in range(8)]
    trained = set(keys(*(c.train for c in sets)))
    assert not trained & set(keys(*(c.select for c in sets), *(c.report for c in sets), source.final(8)))
    assert len({tuple(keys(c.train)) for c in sets}) == 8


def test_an_equal_source_draws_equal_problems(source: Any) -> None:
    again = component("tasks", plain(source))
    assert again == source
    assert again.campaign(1, 1, SIZES) == source.campaign(1, 1, SIZES)
    assert again.final(8) == source.final(8)
    assert keys(source.final(5)) == keys(source.final(8))[:5]


def test_every_problem_can_be_posed(source: Any) -> None:
    problem: Problem
    for problem in source.final(8):
        assert problem.prompt.strip()
        assert problem.task_id
        if isinstance(source, Conventions):
            assert source.any_convention(problem, "no program (") is None
