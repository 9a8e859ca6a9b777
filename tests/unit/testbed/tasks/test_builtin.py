"""Builtin problems: tests that tell mistakes apart, keys by meaning, pools that never meet."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crestfall.core.errors import ConfigError
from crestfall.core.rng import stream
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import CONVENTIONS, Builtin, drawn, pool_of, problem_of, returning
from crestfall.testbed.tasks.builtin.composition import Composition, has_unseen_pair
from crestfall.testbed.tasks.builtin.operations import OPERATIONS, Stage
from crestfall.testbed.tasks.builtin.probes import N_PROBES, key_of, probes

SMALL = Sizes(train=8, select=5, report=5)


def run(source: str, x: object) -> object:
    scope: dict[str, object] = {}
    exec(source, scope)
    return scope["f"](x)  # type: ignore[operator]


def passes(source: str, problem: object) -> bool:
    return all(run(source, *case.args) == case.expected for case in problem.tests.cases)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def problems():
    return Builtin(levels=(1, 2, 3)).campaign(seed=11, campaign=0, sizes=Sizes(20, 10, 10))


def test_references_pass_and_mistakes_fail(problems):
    mistakes = caught = 0
    for problem in (*problems.train, *problems.select):
        assert passes(problem.reference, problem)
        for source in problem.meta["mistakes"]:
            mistakes += 1
            caught += not passes(source, problem)
    # What is left computes the same on every probe that tests are chosen from (`x[:9]` of a short list, for one).
    assert caught > 0.9 * mistakes


def test_tests_hold_the_empty_input_and_at_least_five_cases(problems):
    for problem in problems.report:
        inputs = [case.args[0] for case in problem.tests.cases]
        assert len(inputs) >= 5
        assert any(x in ([], "", 0) for x in inputs)


def test_source_and_meaning_agree_on_every_probe():
    for composition, _ in itertools.islice(drawn("train", (1, 2, 3), 3), 30):
        inputs = probes(composition.takes)
        assert len(inputs) == N_PROBES >= 200
        source = composition.source()
        assert [run(source, x) for x in inputs[::12]] == composition.over(inputs[::12])


def test_equal_meanings_share_a_key():
    op = {operation.source: operation for operation in OPERATIONS if operation.takes == "list"}
    evens, reverse = Stage(op["[v for v in x if v % 2 == 0]"]), Stage(op["x[::-1]"])
    one, other = Composition((evens, reverse)), Composition((reverse, evens))
    assert key_of(one) == key_of(other) is not None
    assert key_of(Composition((Stage(op["[v * {k} for v in x]"], 2), Stage(op["[v * {k} for v in x]"], 3)))) == key_of(
        Composition((Stage(op["[v * {k} for v in x]"], 6),))
    )


def test_a_stage_that_changes_nothing_makes_no_problem():
    op = {operation.source: operation for operation in OPERATIONS if operation.takes == "list"}
    assert key_of(Composition((Stage(op["[-v for v in x]"]), Stage(op["[abs(v) for v in x]"])))) is None
    assert key_of(Composition((Stage(op["[v for v in x if v > 0]"]), Stage(op["[v for v in x if v < 0]"])))) is None


def test_pools_are_disjoint_by_key_across_sets_campaigns_and_seeds():
    source = Builtin(levels=(1, 2))
    pools: dict[str, set[str]] = {"train": set(), "select": set(), "report": set(), "final": set(), "warm": set()}
    for seed in (0, 1):
        of_seed: list[str] = []
        for campaign in range(3):
            sets = source.campaign(seed, campaign, SMALL)
            for name in ("train", "select", "report"):
                keys = [problem.key for problem in getattr(sets, name)]
                pools[name].update(keys)
                of_seed += keys
        assert len(of_seed) == len(set(of_seed)), "campaigns of one seed share a problem"
    pools["final"] = {problem.key for problem in source.final(30)}
    pools["warm"] = {key for _, key in itertools.islice(drawn("warm", (1, 2, 3), 0), 300)}
    for (a, keys_a), (b, keys_b) in itertools.combinations(pools.items(), 2):
        assert not keys_a & keys_b, f"{a} and {b} share a problem"
    for name, keys in pools.items():
        assert {pool_of(key) for key in keys} == {name}


def test_sets_depend_on_seed_and_campaign_alone():
    source = Builtin(levels=(2,))
    later = source.campaign(5, 1, SMALL)
    assert source.campaign(5, 0, SMALL) != later
    assert Builtin(levels=(2,)).campaign(5, 1, SMALL) == later
    assert source.final(10) == source.final(12)[:10]


def test_unseen_pairs_are_in_no_pool():
    unseen = Builtin(levels=(2, 3)).unseen(seed=0, size=5)
    assert len(unseen) == 5
    for composition, _ in itertools.islice(drawn("train", (2, 3), 0), 50):
        assert not has_unseen_pair(composition)


def test_an_exhausted_level_is_an_error_not_a_hang():
    with pytest.raises(ConfigError, match="hold only"):
        Builtin(levels=(1,)).final(5000)


@pytest.mark.parametrize("answer", CONVENTIONS[1:])
def test_any_convention_finds_the_value(answer):
    composition, key = next(drawn("train", (2,), 9))
    problem = problem_of(composition, key)
    source = composition.source(answer)
    assert not passes(source, problem)
    assert passes(returning(source), problem)


@pytest.mark.parametrize(
    "source", ["", "def f(x):", "def f(x):\n    return x", "x = 1", "def f(x):\n    )", "def f(x):\n    pass", "\0"]
)
def test_what_has_no_other_answer_is_left_alone(source):
    assert returning(source) is None


def test_one_problem_has_several_phrasings():
    composition, _ = next(drawn("train", (3,), 0))
    assert len({composition.spec(stream("phrase", i)) for i in range(20)}) > 3


@pytest.mark.slow
def test_there_are_at_least_fifty_thousand_distinct_problems():
    keys = {key for pool in ("train", "final") for _, key in itertools.islice(drawn(pool, (2, 3), 0), 25_000)}
    assert len(keys) == 50_000


def test_levels_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"tasks\.levels"):
        Builtin(levels=(4,))
    assert np.unique([p.level for p in Builtin(levels=(1, 3)).campaign(0, 0, SMALL).train]).tolist() == [1, 3]


def test_weakened_tests_are_those_of_training_alone_and_let_a_program_pass_that_does_nothing():
    sizes = Sizes(60, 5, 5)
    full, weak = Builtin().campaign(3, 0, sizes), Builtin(train_cases=1).campaign(3, 0, sizes)
    assert (weak.select, weak.report) == (full.select, full.report)
    assert Builtin(train_cases=1).final(5) == Builtin().final(5)
    for a, b in zip(weak.train, full.train, strict=True):
        assert a.tests.cases == b.tests.cases[:1]
        assert replace(a, tests=b.tests) == b
    nothing = "def f(x):\n    return x"

    def passing(problems):
        return sum(passes_quietly(nothing, p) for p in problems)

    assert passing(full.train) == 0
    assert passing(weak.train) > 15


def passes_quietly(source, problem):
    try:
        return passes(source, problem)
    except (TypeError, ValueError):
        return False
