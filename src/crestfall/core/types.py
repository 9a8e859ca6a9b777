"""The words of crestfall as types: problems, verdicts, rollouts, evaluations, records and decisions.

Shape suffixes, used everywhere: `P` problems, `G` samples of one problem (the group), `T` tokens, `S` steps,
`N` = P x G. `counts_P` is one number per problem, `rewards_PG` one per problem and sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from crestfall.core.counts import counts, counts_if_any, whole
from crestfall.core.decision import Decision as Decision

# --- problems -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallCase:
    """One call of the entry point: `f(*args) == expected`. Arguments and result are plain Python literals."""

    args: tuple[Any, ...]
    expected: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    accepted: tuple[Any, ...] = ()
    """Further results that are right too."""


@dataclass(frozen=True, slots=True)
class CallTests:
    """The program defines `entry_point`; the child gets the arguments, the trusted side compares what it returns.

    `entry_point` may name a method of a fresh object (`Solution().add`). `compare`: `exact` is Python's `==`; `json`
    takes tuples for lists and dictionary keys as strings. Floats may be off by `tolerance`, relative or absolute.

    `in_place`: the result is the first argument as the call left it (LeetCode's tasks that return nothing). `None`:
    that is taken where a call returned None, None is not expected, and nothing says that the function has to return.

    `reference`: source of a program whose results are what is expected (the cases' own are not looked at). `compare`
    `evalplus`: as EvalPlus compares, with `tolerance` as its `atol` and, where several results are right, an `oracle`.
    `base`: so many of the first cases are a benchmark's own, the others were added to it.
    """

    entry_point: str
    cases: tuple[CallCase, ...]
    compare: Literal["exact", "json", "evalplus"] = "exact"
    tolerance: float = 0.0
    in_place: bool | None = None
    reference: str | None = None
    oracle: str = ""
    base: int | None = None


@dataclass(frozen=True, slots=True)
class StdioCase:
    stdin: str
    stdout: str
    accepted: tuple[str, ...] = ()
    """Further outputs that are right too."""


@dataclass(frozen=True, slots=True)
class StdioTests:
    """The program reads stdin and writes stdout; the trusted side compares the output, token by token.

    Numbers with a fraction may be off by `tolerance`, relative or absolute. `checker`: a Python program that decides in
    their place (docs/grading.md says what it is given and how it answers).
    """

    cases: tuple[StdioCase, ...]
    tolerance: float = 0.0
    checker: str | None = None


@dataclass(frozen=True, slots=True)
class CodeTests:
    """Test code that has to run beside the program (HumanEval's `check`, asserts that are not plain comparisons)."""

    code: str
    entry_point: str | None = None


Tests = CallTests | StdioTests | CodeTests


@dataclass(frozen=True, slots=True)
class ProblemLimits:
    """A problem's own limits, in place of the grader's; None: the grader's.

    `per_test`: `cpu_seconds` holds for each test and not for all of them together (each case of a stdin/stdout problem
    always has the whole limit).
    """

    cpu_seconds: float | None = None
    memory_mib: int | None = None
    per_test: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A programming problem.

    `key` says which problems are the same problem: pools are disjoint by key. `program = stub + completion`, where
    `stub` is the source that stands before what the policy writes (a signature, HumanEval's prompt).
    `header` is source that is run before the program in its namespace: the imports that a benchmark puts there.
    """

    task_id: str
    prompt: str
    tests: Tests
    key: str
    stub: str = ""
    reference: str | None = None
    level: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
    header: str = ""
    limits: ProblemLimits = ProblemLimits()


# --- grading --------------------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    """Result of grading a program. Only `PASSED` earns a reward.

    `INFRA` is the grader's own fault, `UNSUPPORTED` says that the problem's tests are of a style that this grader
    cannot run, or may not: neither says anything of the program.
    """

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    RUNTIME_ERROR = "runtime_error"
    SYNTAX_ERROR = "syntax_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    VIOLATION = "violation"
    NO_CODE = "no_code"
    UNSUPPORTED = "unsupported"
    INFRA = "infra"


@dataclass(frozen=True, slots=True)
class CaseGrade:
    """Result of one test of a problem; `name` says which (`case 3`, `TestStack.test_pop`)."""

    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on one program. `detail` is one printable line that says why; `cpu_seconds` is what it used.

    `isolation`: `outside`: no test ran within the program's reach. `inside`: the tests ran in the program's own
    process, where a program could forge their result.
    `tests`: those that failed: the first one, or all of them where the grader runs them all (`Limits.every_test`).
    `stdout` and `stderr`: the beginning of what the program printed, as far as `Limits.keep_output` allows.
    """

    verdict: Verdict
    detail: str = ""
    cpu_seconds: float = 0.0
    isolation: Literal["outside", "inside"] = "outside"
    tests: tuple[CaseGrade, ...] = ()
    passed_share: float | None = None
    """Tests that passed, of all tests of the problem (those behind the first failure only with `Limits.every_test`);
    None where it is not known beyond `passed`."""
    stdout: str = ""
    stderr: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED

    @property
    def share(self) -> float:
        """The share of tests passed, as a reward beside the all-or-nothing one."""
        return float(self.passed) if self.passed_share is None else self.passed_share

    @property
    def ungraded(self) -> bool:
        """The verdict says nothing of the program: no reward can be made of it, and a score counts it as failed."""
        return self.verdict in (Verdict.INFRA, Verdict.UNSUPPORTED)


# --- evaluations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Counts of passing samples among `n` samples of each problem.

    `competent_P` counts the samples that compute the right values under any answering convention (`print` for
    `return`), where the task source can tell; `greedy_P` is 1 where the greedy completion passed; `distinct_P` counts
    the different programs among those that passed (equal up to layout and the names they give: grading.distinct).
    """

    passed_P: tuple[int, ...]
    n: int
    competent_P: tuple[int, ...] | None = None
    greedy_P: tuple[int, ...] | None = None
    distinct_P: tuple[int, ...] | None = None

    @property
    def pass_at_1(self) -> float:
        return sum(self.passed_P) / (self.n * len(self.passed_P))

    @property
    def competence(self) -> float | None:
        return None if self.competent_P is None else sum(self.competent_P) / (self.n * len(self.competent_P))

    @property
    def greedy(self) -> float | None:
        return None if self.greedy_P is None else sum(self.greedy_P) / len(self.greedy_P)

    @property
    def standard_error(self) -> float:
        """Standard error of pass@1 for *these* problems: sampling noise alone, sqrt(sum p(1-p)/n) / P."""
        shares = [c / self.n for c in self.passed_P]
        return math.sqrt(sum(p * (1 - p) for p in shares) / self.n) / len(shares)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"n": self.n, "pass_at_1": self.pass_at_1, "passed": list(self.passed_P)}
        if self.competent_P is not None:
            out |= {"competence": self.competence, "competent": list(self.competent_P)}
        if self.greedy_P is not None:
            out |= {"greedy_pass_at_1": self.greedy, "greedy": list(self.greedy_P)}
        if self.distinct_P is not None:
            out["distinct_passing"] = list(self.distinct_P)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        n = whole(data, "n")
        more = [counts_if_any(data, key, m) for key, m in (("competent", n), ("greedy", 1), ("distinct_passing", n))]
        return cls(counts(data, "passed", n), n, *more)


# --- control --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Duel:
    """Samples of the same problems from the same random numbers, drawn from the policy of now and from that of an
    earlier step, the rival. A sample that both passed, or neither, says nothing of which is better."""

    rival_step: int
    wins: int
    """Samples that the policy of now passed and the rival did not."""
    losses: int
    """The other way round."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that a controller may look at after one step: the score on select and what the step's training left behind.

    `value` is a score to be maximised (pass@1 as a fraction, a reward). `counts_P` and `n` are there when the score is
    pass@1 of known samples; `standard_error` when it is known. A signal that was not measured is absent, never 0.
    `duel`: with the step that the controller named as its rival.
    """

    step: int
    value: float
    standard_error: float | None = None
    counts_P: tuple[int, ...] | None = None
    n: int | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    duel: Duel | None = None

    @classmethod
    def of(
        cls, step: int, evaluation: Evaluation, signals: Mapping[str, float] | None = None, duel: Duel | None = None
    ) -> Record:
        score, error = evaluation.pass_at_1, evaluation.standard_error
        return cls(step, score, error, evaluation.passed_P, evaluation.n, signals or {}, duel)


@dataclass(frozen=True, slots=True)
class CampaignSummary:
    """Summary of a finished campaign, for the decisions between campaigns. All scores are on select.

    `capability_start` and `capability_handed_on` are the capability vectors (`control.capability`) of the weights that
    the campaign started from and of its final weights; a member that was not measured is absent.
    `learning_rate_scale`: what rollbacks, of this campaign and of those before it, have left of the learning rate.
    """

    campaign: int
    steps: int
    start: float
    peak: float
    peak_step: int
    end: float
    handed_on_step: int
    capability_start: Mapping[str, float] = field(default_factory=dict)
    capability_handed_on: Mapping[str, float] = field(default_factory=dict)
    learning_rate_scale: float = 1.0


# --- rollouts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rollouts:
    """G completions of each of P problems, graded. Token tensors stay with the policy that made them (`handle`)."""

    problems: Sequence[Problem]
    completions_PG: Sequence[Sequence[str]]
    grades_PG: Sequence[Sequence[Grade]]
    handle: Any = None
    campaign: int = 0
    """Campaign in which they were drawn: schedules and random streams of the update are functions of it."""
    step: int = 1


Snapshot = Mapping[str, Any]
"""Tensors by name, in sections: `policy` (the weights), `optimizer`, what else an engine remembers; one that can hand
on an average of weights has `average` with its `weights`. Names hold no `/`: a file has `section/name`."""
