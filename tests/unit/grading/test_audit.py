"""`--audit`: what tests fail to see is found, and nothing else."""

from __future__ import annotations

import ast
import json

import pytest

from crestfall.cli.main import main
from crestfall.core.types import CallCase, CallTests, CodeTests, Problem
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.audit import audit, summary_of
from crestfall.grading.mutants import mutants_of

REFERENCE = """def f(xs):
    best = 0
    for x in xs:
        if x > best and x < 100:
            best = x
    return best
"""


def problem(name: str, *cases: tuple, reference: str | None = REFERENCE) -> Problem:
    return Problem(
        name, "", CallTests("f", tuple(CallCase((list(xs),), y) for xs, y in cases)), name, reference=reference
    )


@pytest.fixture(scope="module")
def grader():
    with CodeGrader(Limits(workers=1, cpu_seconds=1, every_test=True)) as grader:
        yield grader


def test_mutants_are_programs_that_differ_in_one_place():
    mutants = mutants_of(REFERENCE, 100)
    assert len({mutant.program for mutant in mutants}) == len(mutants) > 10
    changes = {mutant.change for mutant in mutants}
    assert {
        "> becomes >=",
        "and becomes or",
        "100 becomes 101",
        "None is returned",
        "a condition is negated",
    } <= changes
    for mutant in mutants:
        ast.parse(mutant.program)
        before, after = ast.unparse(ast.parse(REFERENCE)).splitlines(), mutant.program.splitlines()
        assert sum(a != b for a, b in zip(before, after, strict=False)) >= 1
        assert 1 <= mutant.line <= 6
    assert mutants_of(REFERENCE, 5) == mutants_of(REFERENCE, 5)
    assert len(mutants_of(REFERENCE, 5)) == 5
    assert mutants_of("def f(:", 5) == mutants_of("", 5) == []


def test_the_boundary_that_no_test_asks_for_is_found(grader):
    blind = problem("blind", ([1, 3, 2], 3), ([], 0), ([7, 200], 7))
    (found,) = audit(grader, [blind], 100)
    passing = {mutant.change for mutant in found.passing}
    assert {"< becomes <=", "100 becomes 101"} <= passing
    seen = problem("seen", ([1, 3, 2], 3), ([], 0), ([7, 200, 100, 99, 98], 99))
    (found,) = audit(grader, [seen], 100)
    assert {mutant.change for mutant in found.passing} <= {"> becomes >=", "0 becomes -1"}  # these compute the same


def test_tests_that_no_mutant_fails_are_named(grader):
    idle = "def f(xs):\n    if not xs:\n        return 0\n    return xs[0] + 1\n"
    (found,) = audit(grader, [problem("p", ([4], 5), ([4], 5), ([], 0), reference=idle)], 100)
    assert (found.tests, found.blind) == (3, ())
    constant = Problem(
        "c",
        "",
        CodeTests("assert f(3) == 4\nassert callable(f)\n", "f"),
        "c",
        reference="def f(x):\n    return x + 1\n",
    )
    (found,) = audit(grader, [constant], 100)
    assert (found.tests, found.blind) == (2, (2,))


def test_references_that_fail_or_are_missing(grader):
    wrong, without = problem("wrong", ([1], 2)), problem("without", ([1], 1), reference=None)
    told = summary_of(audit(grader, [wrong, without], 10))
    assert told["references_that_fail"] == ["wrong"]
    assert (told["problems"], told["without_reference"], told["mutants"], told["killed"]) == (2, 1, 0, None)


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"task_id": "weak", "entry_point": "f", "tests": [[[[5]], 5]], "reference": REFERENCE},
        {"task_id": "bad", "entry_point": "f", "tests": [[[[5]], 6]], "reference": REFERENCE},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["grade", "--problems", "p.jsonl", "--audit", "--workers", "1", "--cpu-seconds", "1"]
    assert main([*words, "--out", "a.jsonl"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "bad: the reference fails: wrong_answer" in said
    assert "1 of 2 references fail (bad)" in said
    weak, bad = (json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines())
    assert weak["passing_mutants"]
    assert (bad["reference"], bad["mutants"]) == ("wrong_answer", 0)
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems_with_passing_mutants"] == ["weak"]
    assert main(["grade", "--problems", "p.jsonl", "--audit", "--references"]) == 2
    assert main([*words, "--mutants", "0"]) == 2
    assert main([*words, "--out", "p.jsonl"]) == 2
