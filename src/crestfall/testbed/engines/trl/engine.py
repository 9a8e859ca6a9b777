"""The engine: samples and grades as every engine does, trains through `StepTrainer`.

In a run of several processes every method is called in all of them, with the same arguments (see `leader`): problems
are dealt out for sampling and programs for grading, and all processes get all results.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.core.errors import GraderError
from crestfall.core.rng import seed_of
from crestfall.core.types import Grade, Problem, Rollouts, Snapshot
from crestfall.guard.step_meter import k3, output_layer
from crestfall.testbed.engines.paced import PACED_BY, Paced, as_numbers, as_tensors
from crestfall.testbed.engines.sampling import SamplingEngine, batch_signals, counted
from crestfall.testbed.engines.trl.batches import BLANK, layout, microbatch
from crestfall.testbed.engines.trl.models import Parts, parts_of
from crestfall.testbed.engines.trl.sampler import KeyedSampler, Sharded
from crestfall.testbed.engines.trl.state import copied, moments, put_back, put_back_moments, trained
from crestfall.testbed.engines.trl.trainer import StepTrainer, arguments
from crestfall.testbed.policies.base import Samples, distinct
from crestfall.testbed.updates.base import State, UpdateRule

if TYPE_CHECKING:
    from crestfall.grading import CodeGrader
    from crestfall.testbed.config import RunConfig
    from crestfall.testbed.engines.trl.options import TrlOptions


@dataclass(frozen=True)
class Part:
    """This process's share of one update."""

    rows_KB: NDArray[np.int64]
    """Sample numbers of its microbatches' rows."""
    batches: list[dict[str, Tensor]]
    factor: float
    """Multiplier of the loss."""


class TrlEngine(SamplingEngine):
    """See `engines.base.Engine`. KL and drift, which need a second set of weights, are not measured; the update's norm
    with a pace alone."""

    def __init__(self, config: RunConfig, options: TrlOptions, grader: CodeGrader) -> None:
        torch.set_num_threads(options.threads)
        self._scratch = tempfile.TemporaryDirectory(prefix="crestfall-trl-")
        args = arguments(config, options, Path(self._scratch.name))  # first: it picks each process's own device
        self.parts: Parts = parts_of(config.policy)
        self.trainer = StepTrainer(self.parts, config, args)
        self.accelerator = self.trainer.accelerator
        super().__init__(Sharded(self._sampler(options), self.accelerator), config.tasks, grader, config)
        self.rule: UpdateRule = config.update
        self.rule_state: State = self.rule.init()
        self.pace = Paced(self.rule.pace)
        self.microbatch, self.steps = options.microbatch, config.campaign.steps
        self.parameters = trained(self.trainer.model)

    def _sampler(self, options: TrlOptions) -> Any:
        return self.parts.sampler or KeyedSampler(self.parts, self.trainer, options.sample_rows)

    def close(self) -> None:
        super().close()
        self._scratch.cleanup()

    # --- weights and optimizer ---

    @property
    def adam(self) -> torch.optim.Optimizer:
        """The optimizer inside accelerate's wrapper."""
        optimizer: torch.optim.Optimizer = getattr(self.trainer.optimizer, "optimizer", self.trainer.optimizer)
        return optimizer

    def begin_campaign(self, campaign: int, learning_rate_scale: float = 1.0) -> None:
        if self.rule.optimizer_state == "fresh":
            self.adam.state.clear()
            self.trainer.set_updates(0)
            self.rule_state = self.rule.init()
            self.pace.reset()
        self.scale_learning_rate(learning_rate_scale)

    def scale_learning_rate(self, scale: float) -> None:
        self.trainer.rate.control = scale
        self.trainer.set_updates(self.trainer.updates)

    def snapshot(self) -> Snapshot:
        adam = copied(dict(moments(self.parameters, self.adam)))
        return {
            "policy": copied(self.parameters),
            "optimizer": {**adam, "updates": torch.tensor(self.trainer.updates)},
            "update": as_tensors(self.rule_state),
            "pace": self.pace.snapshot(),
        }

    def restore(self, snapshot: Snapshot) -> None:
        self.load_weights(snapshot)
        adam = dict(snapshot["optimizer"])
        self.trainer.set_updates(int(adam.pop("updates")))
        put_back_moments(self.parameters, self.adam, adam)
        self.rule_state = as_numbers(snapshot.get("update", {}))
        # Of the direction of the last step the other processes have the name alone, and need no more.
        self.pace.restore({name: value for name, value in snapshot.get("pace", {}).items() if value is not None})

    def forget_optimizer(self) -> None:
        self.adam.state.clear()

    def load_weights(self, snapshot: Snapshot) -> None:
        put_back(self.parameters, snapshot["policy"])

    # --- grading ---

    def _grade(self, programs: Sequence[tuple[Problem, str]]) -> list[Grade]:
        """Each process grades its share; a grader that fails in one fails in all."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        if world == 1:
            return super()._grade(programs)
        from accelerate.utils import gather_object

        grades: list[Grade] = []
        fault = ""
        try:
            grades = super()._grade(programs[rank::world])
        except GraderError as error:
            fault = f"rank {rank}: {error}"
        shares = gather_object([(grades, fault)])
        for _, message in shares:
            if message:
                raise GraderError(message)
        return [shares[i % world][0][i // world] for i in range(len(programs))]

    # --- the update ---

    def update(self, rollouts: Rollouts) -> Mapping[str, float]:
        samples: Samples = rollouts.handle
        passed_PG, rewarded_PG, advantages = self._judged(rollouts)
        self.trainer.rate.schedule = self.rule.decay(rollouts.step, self.steps)
        self.trainer.rate.pace = self.pace.scale
        self.trainer.set_updates(self.trainer.updates)
        # What the update draws at random (dropout) is a function of the step, too.
        torch.manual_seed(
            seed_of("update", self.seed, rollouts.campaign, rollouts.step, self.accelerator.process_index)
        )
        signals = batch_signals(samples, distinct(samples), passed_PG, advantages)
        counted_PG = np.broadcast_to(counted(self.rule, rewarded_PG)[:, None], rewarded_PG.shape)
        values_N = np.where(counted_PG, advantages.values_PG, 0.0).reshape(-1)
        parts = [self._part(samples, values_N, counted_PG.reshape(-1), chosen) for chosen in self._minibatches(samples)]
        if self.rule.pace.name == "none":  # no copy of the weights is held for nothing
            return signals | self._train(parts, passed_PG.reshape(-1), lambda: 0.0)
        step = self.pace.begin(self.parameters.values(), self.adam)
        moved = self._distance_from_now(samples)
        signals |= self._train(parts, passed_PG.reshape(-1), moved)
        signals |= self.pace.signals(step, moved, self.trainer.rate.shortened, output=output_layer(self.parameters))
        return {**signals, "update_norm": step.length()}

    def _distance_from_now(self, samples: Samples) -> Callable[[], float]:
        """A function that tells how far the weights have moved the policy since: KL per token on the first samples of
        each group, all processes' together, at the loss's temperature."""
        few = np.arange(len(samples.tokens_N)).reshape(-1, samples.group_size)[:, :PACED_BY].reshape(-1)
        part = self._part(samples, np.zeros(len(samples.tokens_N)), np.ones(len(samples.tokens_N), dtype=bool), few)
        with torch.no_grad():
            before = [self.trainer.logprobs(batch).double() for batch in part.batches]

        @torch.no_grad()
        def moved() -> float:
            sums = torch.zeros(2, dtype=torch.float64, device=self.accelerator.device)
            for rows_B, batch, old in zip(part.rows_KB, part.batches, before, strict=True):
                real = batch["completion_mask"] * torch.from_numpy(rows_B != BLANK).to(sums.device)[:, None]
                values = k3(self.trainer.logprobs(batch).double() - old)
                sums += torch.stack([values[real > 0].sum(), (real > 0).sum()])
            total, tokens = self.accelerator.reduce(sums, "sum").tolist()
            return float(total / tokens)

        return moved

    def _train(
        self, parts: Sequence[Part], passed_N: NDArray[np.bool_], moved: Callable[[], float]
    ) -> dict[str, float]:
        """All updates of a step. Entropy and log-probs are those of each completion before it was first learnt from."""
        if self.rule.needs_old_logprobs:
            for part in parts:
                for batch in part.batches:
                    batch["old_per_token_logps"] = self.trainer.logprobs(batch)
        observed = torch.zeros(5, dtype=torch.float64, device=self.accelerator.device)
        norms: list[float] = []
        for epoch, part in product(range(self.rule.epochs), parts):
            if norms and self.rule.pace.enough(moved):
                break
            norm, seen = self.trainer.optimizer_step(part.batches, part.factor)
            norms.append(norm)
            if epoch == 0:
                for rows_B, batch, (logprobs, entropies) in zip(part.rows_KB, part.batches, seen, strict=True):
                    observed += _observe(rows_B, batch["completion_mask"], logprobs, entropies, passed_N)
        observed = self.accelerator.reduce(observed, "sum")
        rates = self.trainer.rate.signals(self.trainer.updates)
        return {**_signals(observed), "grad_norm": float(np.mean(norms)), **rates}

    def _minibatches(self, samples: Samples) -> list[NDArray[np.int64]]:
        """The samples of each update: minibatches of whole problems."""
        numbers_PG = np.arange(len(samples.tokens_N)).reshape(-1, samples.group_size)
        return [chunk.reshape(-1) for chunk in np.array_split(numbers_PG, min(self.rule.minibatches, len(numbers_PG)))]

    def _part(
        self,
        samples: Samples,
        advantages_N: NDArray[np.float64],
        counted_N: NDArray[np.bool_],
        chosen: NDArray[np.int64],
    ) -> Part:
        """The update on the `chosen` samples. The loss is a mean over those of them that count."""
        plan = layout(samples, chosen, self.microbatch, self.accelerator.process_index, self.accelerator.num_processes)
        counting = chosen[counted_N[chosen]]
        # TRL takes the tokens of `steps_per_generation` microbatches, and scales them to those it accumulates.
        tokens = max(1, sum(len(samples.tokens_N[n]) for n in counting))
        items = tokens * self.trainer.args.steps_per_generation / len(plan.rows_KB)
        prompts = [self.parts.encode(problem) for problem in samples.problems]
        pad, device = self.parts.pad, self.accelerator.device
        batches = [microbatch(samples, rows_B, prompts, advantages_N, items, pad, device) for rows_B in plan.rows_KB]
        token_mean = self.rule.normalization == "token_mean"
        return Part(plan.rows_KB, batches, 1.0 if token_mean else plan.factor(len(counting)))


def _observe(
    rows_B: NDArray[np.int64], mask: Tensor, logprobs: Tensor, entropies: Tensor, passed_N: NDArray[np.bool_]
) -> Tensor:
    """Sums over a microbatch: entropy; log-probs and tokens of what passed; the same of what failed."""
    did_pass = torch.from_numpy(passed_N[np.maximum(rows_B, 0)] & (rows_B != BLANK)).to(mask.device)
    sums = [(entropies * mask).sum()]
    for which in (did_pass, ~did_pass):
        chosen = mask * which[:, None]
        sums += [(logprobs * chosen).sum(), chosen.sum()]
    return torch.stack([value.double() for value in sums])


def _signals(sums: Tensor) -> dict[str, float]:
    entropy, logprob_passed, tokens_passed, logprob_failed, tokens_failed = sums.tolist()
    out = {"entropy": entropy / (tokens_passed + tokens_failed)}
    if tokens_passed:
        out["logprob_passed"] = logprob_passed / tokens_passed
    if tokens_failed:
        out["logprob_failed"] = logprob_failed / tokens_failed
    return out
