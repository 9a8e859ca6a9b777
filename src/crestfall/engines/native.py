"""The reference engine: one process, one device, readable and deterministic.

Equal completions of a group are scored and differentiated once, weighted by how often they were drawn: exactly the same
gradient, for a fraction of the work once the policy has made up its mind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.engines.base import EvaluationResult, Shown, Snapshot
from crestfall.engines.optimizer import Optimizer
from crestfall.errors import GraderError
from crestfall.policies.base import FloatArray, LoadedPolicy, Rows, Samples, TokenScores, distinct
from crestfall.rng import Key, stream
from crestfall.types import Evaluation, Grade, Problem, Rollouts, Verdict
from crestfall.updates.base import Advantages, State, UpdateRule

if TYPE_CHECKING:
    from crestfall.config import RunConfig
    from crestfall.grading import CodeGrader
    from crestfall.tasks.base import TaskSource

Weights = Mapping[str, Tensor]

MEASURED = 4
"""KL and drift are measured on what the first so many samples of each group wrote: they decide nothing, and would cost
as much as the update."""


class NativeEngine:
    """Holds the policy, its optimizer and the weights that it is compared with. See `engines.base.Engine`."""

    def __init__(
        self, policy: LoadedPolicy, rule: UpdateRule, tasks: TaskSource, grader: CodeGrader, config: RunConfig
    ) -> None:
        self.policy, self.rule, self.tasks, self.grader = policy, rule, tasks, grader
        self.group_size, self.temperature = config.campaign.group_size, config.campaign.temperature
        self.greedy, self.max_tokens, self.seed = config.campaign.greedy, config.policy.max_tokens, config.seed
        self.parameters = dict(policy.named_parameters())
        self.optimizer = Optimizer(rule, self.parameters)
        self.rule_state: State = rule.init()
        self.base = self.weights()
        self.start = self.base

    @classmethod
    def create(cls, config: RunConfig, threads: int = 1) -> NativeEngine:
        from crestfall.grading import CodeGrader

        torch.set_num_threads(threads)
        return cls(config.policy.load(), config.update, config.tasks, CodeGrader(config.grader), config)

    def close(self) -> None:
        self.grader.close()

    # --- weights ---

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights."""
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def begin_campaign(self, campaign: int, learning_rate_scale: float = 1.0) -> None:
        now = self.weights()
        # The first campaign starts from the base policy: its distances to the two are one.
        self.start = self.base if all(torch.equal(now[name], base) for name, base in self.base.items()) else now
        self.optimizer.scale = learning_rate_scale
        if self.rule.optimizer_state == "fresh":
            self.optimizer.reset()
            self.rule_state = self.rule.init()

    def snapshot(self) -> Snapshot:
        return {
            **{f"policy/{name}": weight for name, weight in self.weights().items()},
            **{f"optimizer/{name}": value.clone() for name, value in self.optimizer.state().items()},
            **{f"update/{name}": torch.tensor(value, dtype=torch.float64) for name, value in self.rule_state.items()},
        }

    def restore(self, snapshot: Snapshot) -> None:
        self.load_weights(snapshot)
        self.optimizer.load(_part(snapshot, "optimizer"))
        self.rule_state = {name: float(value) for name, value in _part(snapshot, "update").items()}

    @torch.no_grad()
    def load_weights(self, snapshot: Snapshot) -> None:
        for name, value in _part(snapshot, "policy").items():
            self.parameters[name].copy_(value)

    @contextmanager
    def _as(self, weights: Weights) -> Iterator[None]:
        """The policy with other weights, for as long as the block lasts."""
        own = {name: parameter.data for name, parameter in self.parameters.items()}
        for name, parameter in self.parameters.items():
            parameter.data = weights[name]
        try:
            yield
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = own[name]

    # --- sampling and grading ---

    def rollout(self, problems: Sequence[Problem], campaign: int, step: int) -> Rollouts:
        uniforms = self._uniforms(problems, self.group_size, ("rollout", self.seed, campaign, step))
        samples = self.policy.sample(problems, uniforms, self.temperature)
        grades = self._grade([(p, p.stub + text) for p, text in _pairs(samples)])
        g = self.group_size
        texts_PG = [samples.texts_N[i : i + g] for i in range(0, len(samples.texts_N), g)]
        grades_PG = [grades[i : i + g] for i in range(0, len(grades), g)]
        return Rollouts(problems, texts_PG, grades_PG, handle=samples)

    def evaluate(self, problems: Sequence[Problem], n: int, key: Sequence[Key], show: int = 0) -> EvaluationResult:
        # The greedy completion rides along as one more column of the group.
        group = n + int(self.greedy)
        samples = self.policy.sample(problems, self._uniforms(problems, group, key), self.temperature, self.greedy)
        programs = [(p, p.stub + text) for p, text in _pairs(samples)]
        grades = self._grade(programs)
        passed_PG = _passed(grades).reshape(len(problems), group)
        competent_PG = self._competent(programs, grades).reshape(len(problems), group)
        evaluation = Evaluation(
            passed_P=tuple(passed_PG[:, :n].sum(axis=1).tolist()),
            n=n,
            competent_P=tuple(competent_PG[:, :n].sum(axis=1).tolist()),
            greedy_P=tuple(passed_PG[:, n].astype(int).tolist()) if self.greedy else None,
        )
        last = [(p + 1) * group - 1 for p in range(min(show, len(problems)))]
        shown = [
            Shown(problems[i // group].task_id, problems[i // group].prompt, programs[i][1], grades[i]) for i in last
        ]
        return EvaluationResult(evaluation, shown)

    def _uniforms(self, problems: Sequence[Problem], group: int, key: Sequence[Key]) -> FloatArray:
        """[P, G, T] uniform numbers, each a function of the key, the problem, the sample and the token's place."""
        size = (group, self.max_tokens)
        return np.stack([stream("sample", *key, p.task_id).random(size, dtype=np.float32) for p in problems])

    def _grade(self, programs: Sequence[tuple[Problem, str]]) -> list[Grade]:
        grades: list[Grade] = self.grader.grade_batch(programs)
        faults = [grade.detail for grade in grades if grade.verdict is Verdict.INFRA]
        if faults:
            raise GraderError(f"the grader failed on {len(faults)} of {len(grades)} programs: {faults[0]}")
        return grades

    def _competent(self, programs: Sequence[tuple[Problem, str]], grades: Sequence[Grade]) -> NDArray[np.bool_]:
        """Whether each program computes the right values under any answering convention."""
        competent = _passed(grades)
        rewritten: list[tuple[Problem, str]] = []
        places: list[int] = []
        for i, (problem, program) in enumerate(programs):
            returning = None if competent[i] else self.tasks.any_convention(problem, program)
            if returning is not None:
                places.append(i)
                rewritten.append((problem, returning))
        competent[places] = _passed(self._grade(rewritten))
        return competent

    # --- the update ---

    def update(self, rollouts: Rollouts) -> Mapping[str, float]:
        samples: Samples = rollouts.handle
        passed_PG = _passed([grade for group in rollouts.grades_PG for grade in group]).reshape(-1, samples.group_size)
        advantages = self.rule.advantages(passed_PG, self.rule_state)
        self.rule_state = advantages.state
        rows = distinct(samples)
        before = self.weights()
        signals = batch_signals(samples, rows, passed_PG, advantages)
        few = np.flatnonzero(rows.first_R % samples.group_size < MEASURED)
        signals |= self._distances(rows.take(few))
        signals["baseline_drift"] = self._drift(rows, few, advantages)
        signals |= self._train(rows, advantages, passed_PG)
        moved = sum(float((p.detach() - before[name]).square().sum()) for name, p in self.parameters.items())
        return {**signals, "update_norm": math.sqrt(moved)}

    def _train(self, rows: Rows, advantages: Advantages, passed_PG: NDArray[np.bool_]) -> dict[str, float]:
        """All updates of a step. Entropy and log-probs are those of the policy before its first update."""
        observed = Observed(rows, passed_PG.reshape(-1)[rows.first_R])
        old = self._old_logprobs(rows) if self.rule.needs_old_logprobs else None
        norms, rate = [], 0.0
        for update, part in enumerate(self._parts(rows)):
            watch = observed if update < self.rule.minibatches else None
            self.optimizer.zero()
            self._accumulate(rows, part, advantages.values_PG, old, watch)
            norm, rate = self.optimizer.step()
            norms.append(norm)
        return {**observed.signals(), "grad_norm": float(np.mean(norms)), "learning_rate": rate}

    def _parts(self, rows: Rows) -> Iterator[NDArray[np.int64]]:
        """The rows of each update: minibatches of whole problems, epoch after epoch."""
        problems = len(rows.samples.problems)
        for _ in range(self.rule.epochs):
            for chunk in np.array_split(np.arange(problems), min(self.rule.minibatches, problems)):
                yield np.flatnonzero(np.isin(rows.problem_R, chunk))

    def _accumulate(
        self,
        rows: Rows,
        part: NDArray[np.int64],
        advantages_PG: NDArray[np.float64],
        old: Sequence[Tensor] | None,
        watch: Observed | None,
    ) -> None:
        """Add the gradient of minus the objective over `part`, one of the minibatches."""
        chosen = rows.take(part)
        scale_R = torch.from_numpy(self._scale(chosen)).float()
        advantages_R = torch.from_numpy(advantages_PG.reshape(-1)[chosen.first_R]).float()

        def loss(scores: TokenScores) -> Tensor:
            if watch is not None:
                watch.see(part[scores.rows_R], scores)
            index = torch.from_numpy(scores.rows_R)
            old_RT = None if old is None else _stack([old[part[r]] for r in scores.rows_R], scores.mask_RT.shape[1])
            gain_RT = self.rule.objective(scores.logprobs_RT, old_RT, advantages_R[index])
            return -(gain_RT * scores.mask_RT * scale_R[index, None]).sum()

        self.policy.accumulate(chosen, self._loss_temperature, loss)

    def _scale(self, rows: Rows) -> NDArray[np.float64]:
        """How much a token of each row counts: multiplicity and the rule's normalisation."""
        n, length_R = rows.count_R.sum(), rows.length_R
        match self.rule.normalization:
            case "sequence_sum":
                divisor = n
            case "sequence_mean":
                divisor = n * length_R
            case "token_mean":
                divisor = (rows.count_R * length_R).sum()
            case "constant":
                divisor = n * self.max_tokens
        scale_R: NDArray[np.float64] = rows.count_R / divisor
        return scale_R

    @property
    def _loss_temperature(self) -> float:
        return self.temperature if self.rule.logprob_temperature == "sampling" else 1.0

    def _old_logprobs(self, rows: Rows) -> list[Tensor]:
        """Per row, the log-probs of its tokens under the weights of now."""
        return _by_row(self.policy.score(rows, self._loss_temperature), len(rows.first_R))

    # --- what is measured and changes nothing ---

    def _drift(self, rows: Rows, few: NDArray[np.int64], advantages: Advantages) -> float:
        """Norm of baseline x mean score over `few` of the rows. With log-probs of the sampling policy the expected
        score is 0 and this is noise that shrinks with the batch; with those of another policy it is a push in a fixed
        direction."""
        if not advantages.baseline_PG.any():
            return 0.0
        self.optimizer.zero()
        self._accumulate(rows, few, advantages.baseline_PG, None, None)
        return self.optimizer.grad_norm()

    def _distances(self, few: Rows) -> dict[str, float]:
        """KL per token to the base policy and to the campaign's start: the k3 estimate (Schulman 2020), mean of
        exp(d) - 1 - d with d = log ref - log pi. log pi is what the samples were drawn under."""
        base = self._distance(few, self.base)
        return {"kl_base": base, "kl_start": base if self.start is self.base else self._distance(few, self.start)}

    def _distance(self, few: Rows, weights: Weights) -> float:
        with self._as(weights):
            reference = self.policy.score(few, self.temperature)
        drawn_under = [torch.from_numpy(few.samples.logprobs_N[n]) for n in few.first_R]
        total = tokens = 0.0
        for scores in reference:
            own_RT = _stack([drawn_under[r] for r in scores.rows_R], scores.mask_RT.shape[1])
            difference = scores.logprobs_RT - own_RT
            count = torch.from_numpy(few.count_R[scores.rows_R])[:, None] * scores.mask_RT
            total += float(((difference.exp() - 1 - difference) * count).sum())
            tokens += float(count.sum())
        return total / tokens


class Observed:
    """Entropy and log-probs per token, gathered from the scores that the update computes anyway."""

    def __init__(self, rows: Rows, passed_R: NDArray[np.bool_]) -> None:
        self.count_R, self.passed_R = rows.count_R, passed_R
        self.entropy = self.tokens = 0.0
        self.logprob = {True: 0.0, False: 0.0}
        self.tokens_of = {True: 0.0, False: 0.0}

    def see(self, rows_R: NDArray[np.int64], scores: TokenScores) -> None:
        count_R = self.count_R[rows_R]
        tokens_R = count_R * scores.mask_RT.sum(dim=1).numpy()
        self.entropy += float((scores.entropy_RT.sum(dim=1).numpy() * count_R).sum())
        self.tokens += float(tokens_R.sum())
        logprob_R = scores.logprobs_RT.detach().sum(dim=1).numpy() * count_R
        for kind in (True, False):
            which = self.passed_R[rows_R] == kind
            self.logprob[kind] += float(logprob_R[which].sum())
            self.tokens_of[kind] += float(tokens_R[which].sum())

    def signals(self) -> dict[str, float]:
        out = {"entropy": self.entropy / self.tokens}
        for kind, name in ((True, "logprob_passed"), (False, "logprob_failed")):
            if self.tokens_of[kind]:
                out[name] = self.logprob[kind] / self.tokens_of[kind]
        return out


def batch_signals(
    samples: Samples, rows: Rows, passed_PG: NDArray[np.bool_], advantages: Advantages
) -> dict[str, float]:
    """What a batch says before any gradient."""
    share_P = passed_PG.mean(axis=1)
    return {
        "reward": float(passed_PG.mean()),
        "reward_std": float(passed_PG.std(axis=1).mean()),
        "zero_variance_groups": float(np.mean((share_P == 0) | (share_P == 1))),
        "all_passed_groups": float(np.mean(share_P == 1)),
        "all_failed_groups": float(np.mean(share_P == 0)),
        "length": float(np.mean([len(tokens) for tokens in samples.tokens_N])),
        "truncated": float(samples.truncated_N.mean()),
        "distinct": len(rows.first_R) / len(samples.tokens_N),
        "advantage_abs": float(np.abs(advantages.values_PG).mean()),
    }


def _pairs(samples: Samples) -> Iterator[tuple[Problem, str]]:
    for n, text in enumerate(samples.texts_N):
        yield samples.problems[n // samples.group_size], text


def _passed(grades: Sequence[Grade]) -> NDArray[np.bool_]:
    return np.array([grade.passed for grade in grades], dtype=np.bool_)


def _part(snapshot: Snapshot, name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in snapshot.items() if key.startswith(f"{name}/")}


def _by_row(batches: Sequence[TokenScores], rows: int) -> list[Tensor]:
    out: list[Tensor] = [torch.empty(0)] * rows
    for scores in batches:
        for row, logprobs in zip(scores.rows_R, scores.logprobs_RT, strict=True):
            out[row] = logprobs
    return out


def _stack(rows: Sequence[Tensor], length: int) -> Tensor:
    """Rows cut or padded with zeros to one length."""
    out = torch.zeros((len(rows), length))
    for i, row in enumerate(rows):
        out[i, : min(length, len(row))] = row[:length]
    return out
