"""One text makes one program, whoever asks: the policy, both rewards, the guard's evaluation and `crestfall grade`."""

from __future__ import annotations

import json

import pytest

from answers import ANSWERS, PROBLEMS
from crestfall.core.types import CallTests, CodeTests, Grade, Problem, Verdict
from crestfall.grading.programs import program_of
from crestfall.grading.samples import Assembly, assembled, read_samples
from crestfall.guard import rewards
from crestfall.guard.code_evaluation import CodeEvaluation
from crestfall.testbed.policies.hf.text import Text


class Recorder:
    """A grader that keeps the programs that it is given."""

    def __init__(self) -> None:
        self.programs: list[str] = []

    def grade_batch(self, pairs):
        self.programs += [program for _, program in pairs]
        return [Grade(Verdict.PASSED)] * len(pairs)

    def grade(self, problem, program):
        return self.grade_batch([(problem, program)])[0]


TEXTS = [(PROBLEMS[answer.problem], answer.text) for answer in ANSWERS]


def by_policy(tmp_path, monkeypatch):
    for chat in (True, False):
        text = Text(None, chat, frozenset({0}), 0)
        yield [text.program(problem, answer) for problem, answer in TEXTS]


def by_trl_reward(tmp_path, monkeypatch):
    ids = [problem.task_id for problem, _ in TEXTS]
    for wrap in (str, lambda answer: [{"role": "assistant", "content": answer}]):
        grader = Recorder()
        reward = rewards.trl_reward(list(PROBLEMS.values()), grader)
        reward(completions=[wrap(answer) for _, answer in TEXTS], task_id=ids)
        yield grader.programs


def by_evaluation(tmp_path, monkeypatch):
    evaluation = CodeEvaluation(list(PROBLEMS.values()), None, grader=Recorder())
    yield [evaluation._program(problem, answer) for problem, answer in TEXTS]


def by_grade(tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    for field, extract in (("response", False), ("completion", True), ("solution", True)):
        path.write_text("".join(json.dumps({"task_id": p.task_id, field: answer}) + "\n" for p, answer in TEXTS))
        written = read_samples(path)
        yield [assembled(w, PROBLEMS[w.task_id], Assembly(extract)).program for w in written]


def by_verl(tmp_path, monkeypatch):
    grader = Recorder()
    monkeypatch.setattr(rewards, "shared_grader", lambda every_test: grader)
    for problem, answer in TEXTS:
        rewards.compute_score("code", answer, json.dumps(ground_truth(problem)))
    yield grader.programs


def ground_truth(problem: Problem) -> dict:
    row = {"task_id": problem.task_id, "prompt": problem.prompt, "stub": problem.stub}
    if isinstance(problem.tests, CallTests):
        return row | {"entry_point": problem.tests.entry_point, "tests": [[[2], 4]]}
    if isinstance(problem.tests, CodeTests):
        return row | {"entry_point": problem.tests.entry_point, "tests": problem.tests.code}
    return row | {"tests": [{"stdin": "4\n", "stdout": "8\n"}]}


@pytest.mark.parametrize("caller", [by_policy, by_trl_reward, by_evaluation, by_grade, by_verl])
def test_every_caller_makes_the_same_program_of_a_text(caller, tmp_path, monkeypatch):
    expected = [program_of(problem, answer) for problem, answer in TEXTS]
    assert len(expected) >= 60
    for programs in caller(tmp_path, monkeypatch):
        different = [ANSWERS[i].label for i, (a, b) in enumerate(zip(programs, expected, strict=True)) if a != b]
        assert not different
