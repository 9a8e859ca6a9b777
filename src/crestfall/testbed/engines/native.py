"""The reference engine: one process, one device, readable and deterministic.

Equal completions of a group are scored and differentiated once, weighted by how often they were drawn: exactly the same
gradient, for a fraction of the work once the policy has made up its mind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.core.types import Rollouts, Snapshot
from crestfall.guard.average import WeightAverage
from crestfall.guard.step_meter import MOST_PER_TOKEN, k3, output_layer
from crestfall.testbed.engines.agreement import Agreement, halves_of
from crestfall.testbed.engines.batch import Batch, Observed, Tally, aligned, by_row, rows_for
from crestfall.testbed.engines.optimizer import Optimizer, begin, end
from crestfall.testbed.engines.paced import PACED_BY, Paced, as_numbers, as_tensors
from crestfall.testbed.engines.sampling import SamplingEngine, batch_signals, counted
from crestfall.testbed.policies.base import LoadedPolicy, Rows, Samples, TokenScores, distinct, first_of
from crestfall.testbed.updates.base import Advantages, State, UpdateRule
from crestfall.testbed.updates.kl import Reference

if TYPE_CHECKING:
    from crestfall.grading import CodeGrader
    from crestfall.testbed.config import RunConfig
    from crestfall.testbed.tasks.base import TaskSource

Weights = Mapping[str, Tensor]


class NativeEngine(SamplingEngine):
    """Holds the policy, its optimizer and the weights that it is compared with. See `engines.base.Engine`."""

    def __init__(
        self,
        policy: LoadedPolicy,
        rule: UpdateRule,
        tasks: TaskSource,
        grader: CodeGrader,
        config: RunConfig,
        measured: int = 4,
    ) -> None:
        super().__init__(policy, tasks, grader, config)
        self.policy, self.rule = policy, rule
        self.parameters = dict(policy.named_parameters())
        self.optimizer = Optimizer(rule, self.parameters)
        self.rule_state: State = rule.init()
        self.kl_state: State = rule.kl.init()
        self.pace, self.measured = Paced(rule.pace), measured
        self.config, self.campaign = config, 0
        self.base = self.weights()
        self.start = self.base
        self.importance: Weights | None = None
        self.average = self._no_average()

    @classmethod
    def create(cls, config: RunConfig, threads: int = 1, measured: int = 4) -> NativeEngine:
        from crestfall.grading import CodeGrader

        torch.set_num_threads(threads)
        return cls(config.policy.load(), config.update, config.tasks, CodeGrader(config.grader), config, measured)

    # --- weights ---

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights."""
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def begin_campaign(self, campaign: int, learning_rate_scale: float = 1.0) -> None:
        self.campaign, now = campaign, self.weights()
        # The first campaign starts from the base policy: its distances to the two are one.
        self.start = self.base if all(torch.equal(now[name], base) for name, base in self.base.items()) else now
        self.scale_learning_rate(learning_rate_scale)
        if self.rule.ewc.held_at() == "start":
            self.importance = None
        self.average = self._no_average()
        if self.average is not None:
            self.average.update()
        if self.rule.optimizer_state == "fresh":
            self.optimizer.reset()
            self.rule_state, self.kl_state = self.rule.init(), self.rule.kl.init()
            self.pace.reset()

    def scale_learning_rate(self, scale: float) -> None:
        self.optimizer.rate.control = scale

    def snapshot(self) -> Snapshot:
        return {
            "policy": self.weights(),
            "optimizer": {name: value.clone() for name, value in self.optimizer.state().items()},
            "update": as_tensors(self.rule_state),
            "kl": as_tensors(self.kl_state),
            "pace": self.pace.snapshot(),
            "average": {} if self.average is None else self.average.tensors(),
        }

    def restore(self, snapshot: Snapshot) -> None:
        self.load_weights(snapshot)
        self.optimizer.load(snapshot["optimizer"])
        self.rule_state = as_numbers(snapshot.get("update", {}))
        self.kl_state = as_numbers(snapshot.get("kl", {}))
        self.pace.restore(snapshot.get("pace", {}))

    def forget_optimizer(self) -> None:
        self.optimizer.forget()

    @torch.no_grad()
    def load_weights(self, snapshot: Snapshot) -> None:
        for name, value in snapshot["policy"].items():
            self.parameters[name].copy_(value)
        if self.average is not None and snapshot.get("average"):
            self.average.load_tensors(snapshot["average"])

    def _no_average(self) -> WeightAverage | None:
        """An average of weights that has seen none yet, where the campaign ends in one."""
        options = self.config.campaign
        decay = options.ema_decay if options.hand_on == "ema" else None
        return None if options.hand_on == "weights" else WeightAverage.of(lambda: self.parameters, decay)

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

    # --- the update ---

    def update(self, rollouts: Rollouts) -> Mapping[str, float]:
        samples: Samples = rollouts.handle
        passed_PG, rewarded_PG, advantages = self._judged(rollouts)
        self.optimizer.rate.schedule = self.rule.decay(rollouts.step, self.config.campaign.steps)
        self.optimizer.rate.pace, unique = self.pace.scale, distinct(samples)
        step = self.pace.begin(self.parameters.values(), self.optimizer.adam)
        few = first_of(unique, self.measured)
        batch = self._batch(unique, advantages, rewarded_PG)
        signals = batch_signals(samples, unique, passed_PG, advantages)
        if rewarded_PG is not passed_PG:
            signals["rewarded"] = float(rewarded_PG.mean())
        signals |= self._distances(few)
        signals["baseline_drift"] = self._drift(batch, advantages)
        signals |= self._train(batch, passed_PG)
        signals |= self.pace.signals(
            step,
            lambda: self._moved(first_of(unique, PACED_BY)),
            self.optimizer.rate.shortened,
            self.agreement.mean(),
            output_layer(self.parameters),
        )
        signals |= self._observe_kl(signals)
        if self.average is not None:
            self.average.update()
        return {**signals, "update_norm": step.length()}

    def _batch(self, unique: Rows, advantages: Advantages, rewarded_PG: NDArray[np.bool_]) -> Batch:
        rows = rows_for(unique, advantages.values_PG)
        old = self._logprobs(rows) if self.rule.needs_old_logprobs else None
        reference = None
        if (compared_with := self.rule.kl.compared_with()) is not None:
            with self._as(self._reference(compared_with)):
                reference = self._logprobs(rows)
        return Batch(rows, advantages.values_PG, counted(self.rule, rewarded_PG), old, reference)

    def _train(self, batch: Batch, passed_PG: NDArray[np.bool_]) -> dict[str, float]:
        """All updates of a step. Entropy and log-probs are those of each completion before it was first learnt from."""
        self.agreement = Agreement(self.rule.pace.halves)
        observed, tally = Observed(batch.rows, passed_PG.reshape(-1)[batch.rows.first_R]), Tally()
        held = self._held()
        norms: list[float] = []
        begin(self.optimizer.adam)
        for epoch, part in product(range(self.rule.epochs), list(self._minibatches(batch.rows))):
            if norms and self.rule.pace.enough(lambda: self._moved(first_of(batch.rows, PACED_BY))):
                break
            self.optimizer.zero()
            tally.update = len(norms)
            for half in halves_of(batch.rows, part) if self.rule.pace.halves else (part,):
                self._accumulate(batch, half, observed if epoch == 0 else None, tally, part)
                self.agreement.see(self.parameters)
            self.agreement.end()
            if held is not None:
                tally.see_pull(self.rule.ewc.pull(self.parameters, *held))
            norms.append(self.optimizer.step())
        end(self.optimizer.adam)
        signals = {**observed.signals(), **tally.signals(updates=len(norms))}
        return {
            **signals,
            "grad_norm": float(np.mean(norms)),
            **self.optimizer.rate.signals(self.optimizer.updates),
        }

    def _minibatches(self, rows: Rows) -> Iterator[NDArray[np.int64]]:
        """The rows of each update of a pass: minibatches of whole problems."""
        problems = len(rows.samples.problems)
        for chunk in np.array_split(np.arange(problems), min(self.rule.minibatches, problems)):
            yield np.flatnonzero(np.isin(rows.problem_R, chunk))

    def _accumulate(
        self,
        batch: Batch,
        part: NDArray[np.int64],
        watch: Observed | None = None,
        tally: Tally | None = None,
        whole: NDArray[np.int64] | None = None,
    ) -> None:
        """Add the gradient of minus the objective, and of the KL penalty, over `part`, one of the minibatches, or a
        part of the minibatch `whole`."""
        rows, rule = batch.rows.take(part), self.rule
        if whole is None or len(whole) == len(part):
            scale_R = batch.scale_of(rows, rule.normalization, self.max_tokens)
        else:  # the whole minibatch's normaliser
            every = batch.scale_of(batch.rows.take(whole), rule.normalization, self.max_tokens)
            scale_R = every[torch.from_numpy(np.searchsorted(whole, part))]
        advantages_R, count_R = batch.advantages_of(rows), torch.from_numpy(rows.count_R)
        drawn = [torch.from_numpy(rows.samples.logprobs_N[n]) for n in rows.first_R]

        def loss(scores: TokenScores) -> Tensor:
            if watch is not None:
                watch.see(part[scores.rows_R], scores)
            index, logprobs_RT = torch.from_numpy(scores.rows_R), scores.logprobs_RT
            weight_RT = scores.mask_RT * scale_R[index, None]
            old_RT = aligned(batch.old, part[scores.rows_R], logprobs_RT)
            if tally is not None:
                count_RT, now_RT = scores.mask_RT * count_R[index, None], logprobs_RT.detach()
                drawn_RT = aligned(drawn, scores.rows_R, logprobs_RT)
                assert drawn_RT is not None
                sampled_alike = rule.logprob_temperature == "sampling"
                tally.see_policy(now_RT, drawn_RT, drawn_RT if old_RT is None and sampled_alike else old_RT, count_RT)
                if old_RT is not None:
                    ratio_RT = (now_RT - old_RT).exp()
                    tally.see_ratio(ratio_RT, rule.clipped(ratio_RT, advantages_R[index]), count_RT)
            total = -(rule.objective(logprobs_RT, old_RT, advantages_R[index]) * weight_RT).sum()
            reference_RT = aligned(batch.reference, part[scores.rows_R], logprobs_RT)
            if reference_RT is not None:
                term_RT, penalty_RT = rule.kl.terms(logprobs_RT, reference_RT, self.kl_state)
                total = total + (term_RT * weight_RT).sum()
                if tally is not None:
                    tally.see_penalty(penalty_RT, weight_RT)
            return total

        self.policy.accumulate(rows, self._loss_temperature, loss)

    def _reference(self, which: Reference) -> Weights:
        return self.base if which == "base" else self.start

    def _held(self) -> tuple[Weights, Weights] | None:
        """The anchor of the weight penalty, and how much each weight matters: a function of the anchor, seed
        and campaign. Computed when first needed, and again after a resume, it is the same to the last bit."""
        held_at = self.rule.ewc.held_at()
        if held_at is None:
            return None
        anchor = self._reference(held_at)
        if self.importance is None:
            campaign = self.campaign if held_at == "start" else 0
            count, samples = self.rule.ewc.drawn()
            problems = self.config.sets(campaign).train[:count] if count else ()
            with self._as(anchor):
                batches = (self._sample((p,), samples, ("fisher", self.seed, campaign)) for p in problems)
                self.importance = self.rule.ewc.importance(self.policy, batches, self.temperature)
        return anchor, self.importance

    def _observe_kl(self, signals: Mapping[str, float]) -> dict[str, float]:
        """Let the penalty see how far the step's samples were from its reference. Returns the step's coefficient."""
        compared_with = self.rule.kl.compared_with()
        if compared_with is None:
            return {}
        used = self.rule.kl.coefficient_of(self.kl_state)
        self.kl_state = self.rule.kl.observe(self.kl_state, signals[f"kl_{compared_with}"])
        return {"kl_coefficient": used}

    @property
    def _loss_temperature(self) -> float:
        return self.temperature if self.rule.logprob_temperature == "sampling" else 1.0

    def _logprobs(self, rows: Rows) -> list[Tensor]:
        """Per row, the log-probs of its tokens under the weights of now."""
        return by_row(self.policy.score(rows, self._loss_temperature), len(rows.first_R))

    # --- what is measured and changes nothing ---

    def _drift(self, batch: Batch, advantages: Advantages) -> float:
        """Norm of baseline x mean score over a few of the rows. With log-probs of the sampling policy the expected
        score is 0 and this is noise that shrinks with the batch; with those of another policy it is a push in a fixed
        direction."""
        if not advantages.baseline_PG.any():
            return 0.0
        rows = batch.rows
        few = np.flatnonzero(rows.first_R % rows.samples.group_size < self.measured)
        self.optimizer.zero()
        self._accumulate(replace(batch, advantages_PG=advantages.baseline_PG, old=None, reference=None), few)
        return self.optimizer.grad_norm()

    def _distances(self, few: Rows) -> dict[str, float]:
        """KL per token to the base policy and to the campaign's start: the k3 estimate (Schulman 2020), mean of
        exp(d) - 1 - d with d = log ref - log pi. log pi is what the samples were drawn under."""
        base = self._distance(few, self.base)
        return {"kl_base": base, "kl_start": base if self.start is self.base else self._distance(few, self.start)}

    def _distance(self, few: Rows, weights: Weights) -> float:
        with self._as(weights):
            return self._moved(few, at_most=math.inf)

    def _moved(self, few: Rows, at_most: float = MOST_PER_TOKEN) -> float:
        """KL per token from the policy that drew the samples to the weights of now, k3 estimate."""
        reference = self.policy.score(few, self.temperature)
        drawn_under = [torch.from_numpy(few.samples.logprobs_N[n]) for n in few.first_R]
        total = tokens = 0.0
        for scores in reference:
            own_RT = aligned(drawn_under, scores.rows_R, scores.logprobs_RT)
            assert own_RT is not None
            count = torch.from_numpy(few.count_R[scores.rows_R])[:, None] * scores.mask_RT
            total += float((k3(scores.logprobs_RT - own_RT, at_most) * count).sum())
            tokens += float(count.sum())
        return total / tokens
