"""Benchmarks as task sources: what is one problem, which pool it is in, what campaigns draw, how it is posed."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crestfall.core.build import component
from crestfall.core.errors import ConfigError, InputError, MissingExtraError
from crestfall.core.types import CodeTests, Problem
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.split import Pools, Shares, distinct

SMALL = Sizes(train=5, select=2, report=2)


def mbpp_row(number: int, **over: Any) -> dict[str, Any]:
    row = {
        "task_id": number,
        "text": f"Write a function to add {number} to x.",
        "code": f"def add_{number}(x):\r\n    return x + {number}",
        "test_list": [f"assert add_{number}(1) == {number + 1}", f"assert add_{number}(2) == {number + 2}"],
        "test_setup_code": "",
        "challenge_test_list": [],
    }
    return row | over


@pytest.fixture
def write(tmp_path):
    def write(rows: Any, name: str = "problems.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def mbpp(write):
    def mbpp(**options: Any) -> Any:
        return component("tasks", {"name": "mbpp", "path": write(mbpp_row(n) for n in range(1, 101)), **options})

    return mbpp


# --- what is one problem ---


def problem(number: int, task_id: str, **over: Any) -> Problem:
    """Problem `number`: no text, test or reference of it is another's."""
    own = Problem(
        task_id,
        f"Return the {number}th thing.",
        CodeTests(f"assert thing({number}) == {number}", "thing"),
        key=task_id,
        reference=f"def thing(n):\n    return {number} + 0 * n",
    )
    return dataclasses.replace(own, **over)


def _variant(number: int, how: int, task_id: str) -> Problem:
    """The same problem as people copy it: spacing, case and names changed; or only its test, or reference, or text the
    same."""
    own = problem(number, task_id)
    assert isinstance(own.tests, CodeTests)
    assert own.reference is not None
    code, reference, new = own.tests.code, own.reference, f"{number} {how} {task_id}"
    changes: list[dict[str, Any]] = [
        {"prompt": own.prompt.upper().replace(" ", "\n  ") + "!", "reference": reference.replace("    ", "\t")},
        {"prompt": new, "tests": CodeTests(code.replace("thing", "other"), "other"), "reference": None},
        {"prompt": new, "tests": CodeTests(new, "thing"), "reference": reference.upper()},
        {"tests": CodeTests(new), "reference": new},
    ]
    return dataclasses.replace(own, **changes[how])


@given(
    numbers=st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True),
    copies=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_no_variant_of_a_problem_is_in_another_pool(
    numbers: list[int], copies: list[tuple[int, int]], order: random.Random
) -> None:
    mixed = [problem(n, f"original/{n}") for n in numbers]
    mixed += [_variant(numbers[which % len(numbers)], how, f"copy/{i}") for i, (which, how) in enumerate(copies)]
    order.shuffle(mixed)
    pools = Pools.of(distinct(mixed), Shares(), "here").problems
    kept = [p for pool in pools.values() for p in pool]
    # One of each set is left, so that no two pools, and no two places of one, can hold variants of one problem.
    assert len({p.key for p in kept}) == len(kept) == len(numbers)


def test_pools_do_not_depend_on_ids_or_order():
    problems = [problem(n, str(n)) for n in range(200)]
    renamed = [dataclasses.replace(p, task_id=f"x{p.task_id}", key=f"x{p.task_id}") for p in reversed(problems)]
    pools = [Pools.of(distinct(some), Shares(), "").problems for some in (problems, renamed)]
    texts = [{name: {p.prompt for p in pool} for name, pool in some.items()} for some in pools]
    assert texts[0] == texts[1]
    assert all(texts[0].values())
    assert sum(map(len, texts[0].values())) == 200


def test_an_own_key_joins_lines(write):
    rows = [{"task_id": i, "prompt": f"Task {i}", "tests": [{"stdin": "", "stdout": str(i)}]} for i in range(3)]
    rows[0]["key"] = rows[1]["key"] = "same"
    source = component("tasks", {"name": "jsonl", "path": write(rows)})
    assert len(distinct(source.read(row) for row in source.rows())) == 2


# --- what campaigns draw ---


def test_campaigns_and_final_never_meet(mbpp):
    source = mbpp()
    final = {p.key for p in source.final(20)}
    assert len(final) == 20
    for seed in (0, 1):
        seen: set[str] = set()
        for campaign in range(4):
            sets = source.campaign(seed, campaign, SMALL)
            keys = [p.key for p in (*sets.train, *sets.select, *sets.report)]
            assert len(keys) == 9
            assert not seen & set(keys)
            assert not final & set(keys)
            seen.update(keys)
    assert source.campaign(0, 1, SMALL) == mbpp().campaign(0, 1, SMALL)
    assert source.campaign(0, 0, SMALL).train != source.campaign(1, 0, SMALL).train
    trained = {p.key for seed in range(20) for p in source.campaign(seed, 0, SMALL).train}
    reported = {p.key for seed in range(20) for p in source.campaign(seed, 0, SMALL).report}
    assert not trained & reported


def test_a_pool_that_is_too_small_says_so_before_anything_runs(mbpp):
    source = mbpp()
    source.check(2, SMALL, 5)
    with pytest.raises(ConfigError, match=r"50 distinct problems of the train pool .* there are \d+ .*problems=same"):
        source.check(10, SMALL, 5)
    with pytest.raises(ConfigError, match=r"a smaller chain\.final, or a larger share tasks\.pools\.final"):
        source.check(1, SMALL, 200)


def test_shares(mbpp):
    source = mbpp(pools={"train": 0.7, "select": 0.1, "report": 0.1, "final": 0.1})
    assert len(source.campaign(0, 0, Sizes(55, 2, 2)).train) == 55
    with pytest.raises(ConfigError, match="add up to 1"):
        mbpp(pools={"train": 0.7})


# --- how problems are posed ---


def drawn(source: Any) -> Problem:
    first: Problem = source.campaign(0, 0, Sizes(1, 1, 1)).train[0]
    return first


def test_mbpp_is_asked_with_its_asserts_and_examples_are_in_no_pool(mbpp):
    own = drawn(mbpp())
    assert own.prompt == (
        f"You are an expert Python programmer, and here is your task: Write a function to add {own.task_id} to x. "
        f"Your code should pass these tests:\n\nassert add_{own.task_id}(1) == {int(own.task_id) + 1}\n"
        f"assert add_{own.task_id}(2) == {int(own.task_id) + 2}\n"
    )
    few = mbpp(examples=3)
    shot = drawn(few)
    assert shot.task_id == own.task_id
    assert shot.prompt.count("[BEGIN]") == 4
    assert shot.prompt.endswith(f"{own.prompt}[BEGIN]\n")
    assert "[BEGIN]\ndef add_2(x):\n    return x + 2\n[DONE]\n\n" in shot.prompt
    assert shot.meta["stop"] == ("\n[DONE]",)
    pools = [few.campaign(0, 0, Sizes(30, 10, 10)), few.final(20)]
    everything = [*pools[0].train, *pools[0].select, *pools[0].report, *pools[1]]
    assert not {"2", "3", "4"} & {p.task_id for p in everything}


def test_examples_that_are_not_there(write):
    source = component("tasks", {"name": "mbpp", "path": write(mbpp_row(n) for n in range(10, 40)), "examples": 1})
    with pytest.raises(InputError, match="needs problem 2"):
        source.check(1, Sizes(1, 1, 1), 1)


def test_humaneval_is_a_stub_to_complete(write):
    rows = [
        {
            "task_id": f"HumanEval/{n}",
            "prompt": f'def f{n}(x):\n    """Add {n}."""\n',
            "entry_point": f"f{n}",
            "canonical_solution": f"    return x + {n}\n",
            "test": f"def check(candidate):\n    assert candidate(1) == {n + 1}\n",
        }
        for n in range(40)
    ]
    path = write(rows)
    plain, chat = (
        drawn(component("tasks", {"name": "humaneval", "path": path, "form": form}))
        for form in ("completion", "instruction")
    )
    assert plain.prompt == plain.stub == chat.stub
    assert "\ndef" in plain.meta["stop"]
    assert chat.prompt.endswith(f"```python\n{plain.stub}```\n")


def test_python_is_python_whatever_its_problems_are_called(write):
    row = {"task_id": "C/0", "prompt": "def f(x):\n    return 1  # ", "entry_point": "f", "test": "def check(c): ..."}
    assert len(component("tasks", {"name": "humaneval", "path": write([row])}).final(1)) == 1
    in_c = write([row | {"prompt": "int f(int x) {"}], "c.jsonl")
    with pytest.raises(InputError, match=r"c\.jsonl: it holds no problems: .*c\.jsonl:1: its language is c"):
        component("tasks", {"name": "humaneval", "path": in_c}).final(1)


def test_contest_problems_say_where_answers_go(write):
    apps = [
        {
            "problem_id": n,
            "question": f"Question {n}?",
            "input_output": json.dumps({"fn_name": "f", "inputs": [[n]], "outputs": [[-n]]} if n % 2 else
                                       {"inputs": [f"{n}\n"], "outputs": [f"{-n}\n"]}),
            "starter_code": "def f(n):" if n % 2 else "",
            "difficulty": "competition" if n % 5 == 0 else "interview",
        }
        for n in range(1, 60)
    ]  # fmt: skip
    source = component("tasks", {"name": "apps", "path": write([*apps, apps[0] | {"input_output": ""}])})
    problems = [source.pose(own, {}) for row in source.rows() if (own := source.read(row)) is not None]
    assert len(problems) == 59 - 11
    prompts = {p.task_id: p.prompt for p in problems}
    assert "standard input" in prompts["2"]
    assert "```python\ndef f(n):\n```" in prompts["1"]
    assert "standard input" not in prompts["1"]
    assert source.campaign(0, 0, SMALL).train[0].prompt in prompts.values()


def test_livecodebench_by_date(write):
    rows = [
        {
            "question_id": f"q{n}",
            "question_content": f"Question {n}?",
            "public_test_cases": json.dumps([{"input": f"{n}", "output": f"{n}", "testtype": "stdin"}]),
            "contest_date": f"2024-{1 + n % 12:02d}-01T00:00:00",
            "difficulty": "easy",
        }
        for n in range(24)
    ]
    options = {"name": "livecodebench", "path": write(rows), "since": "2024-07-01"}
    source = component("tasks", options)
    assert sum(source.read(row) is not None for row in source.rows()) == 12
    none = component("tasks", options | {"difficulties": ["hard"]})
    with pytest.raises(InputError, match="no problems"):
        none.final(1)


# --- where rows come from ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either 'path' .* or 'dataset'"),
        ({"path": "a", "dataset": "b"}, "either 'path' .* or 'dataset'"),
        ({"path": "a", "split": "test"}, "are a dataset's"),
    ],
)
def test_one_place_to_read_from(options, message):
    with pytest.raises(ConfigError, match=message):
        component("tasks", {"name": "mbpp", **options})


def test_a_missing_file_and_ids_met_twice(write, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl: No such file"):
        component("tasks", {"name": "mbpp", "path": str(tmp_path / "nowhere.jsonl")}).final(1)
    twice = write([mbpp_row(5), mbpp_row(5, text="Another")])
    with pytest.raises(InputError, match=r"problems\.jsonl:2: the task_id '5' was met before"):
        component("tasks", {"name": "mbpp", "path": twice}).final(1)


def test_a_dataset_by_name(write, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [mbpp_row(n) for n in range(1, 101)]
    folder = tmp_path / "org" / "mbpp"
    for split, some in (("train", rows[:60]), ("test", rows[60:])):
        datasets.Dataset.from_list(some).to_parquet(folder / "data" / f"{split}-00000.parquet")
    file = component("tasks", {"name": "mbpp", "path": write(rows)})
    named = component("tasks", {"name": "mbpp", "dataset": str(folder)})
    assert [p.task_id for p in named.final(10)] == [p.task_id for p in file.final(10)]
    assert drawn(named).tests == drawn(file).tests
    test = component("tasks", {"name": "mbpp", "dataset": str(folder), "split": "test"})
    assert all(int(p.task_id) > 60 for p in test.final(5))
    broken = component("tasks", {"name": "mbpp", "dataset": str(folder), "split": "no"})
    with pytest.raises(InputError, match="cannot load"):
        broken.final(1)


def test_without_the_library(monkeypatch):
    monkeypatch.setattr("crestfall.core.extras.installed", lambda library: library != "datasets")
    with pytest.raises(MissingExtraError, match=r"datasets is not installed: pip install 'crestfall\[hf\]'"):
        component("tasks", {"name": "mbpp", "dataset": "org/mbpp"}).final(1)
